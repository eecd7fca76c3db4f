package report

// Control is an action that a node may offer; which ones a node does offer is
// in its latest "active_controls". Key is its name in the topology, nearly
// always the same as its ID.
type Control struct {
	Key, ID, Human, Icon string
	Confirmation         string // asked before the action is taken, when not empty
	Rank                 int    // place among the other controls
	ProbeID              string
}

// MetadataTemplate says how to show one value of the nodes of a topology. Key
// is its name in the topology, nearly always the same as its ID.
type MetadataTemplate struct {
	Key, ID, Label string
	Truncate       int // characters to show, 0 for all
	DataType       string
	Priority       float64
	From           string // "latest", "sets" or "counters"
}

// MetricTemplate says how to show one metric of the nodes of a topology.
type MetricTemplate struct {
	Key, ID, Label string
	Format, Group  string
	Priority       float64
}

// TableTemplate says how to show values of a node as a table: the values whose
// keys begin with Prefix, or the values that FixedRows names.
type TableTemplate struct {
	Key, ID, Label string
	Prefix, Type   string
	Columns        []Column   // in the order they are shown
	FixedRows      []FixedRow // sorted by Key
}

// Column is a column of a table.
type Column struct {
	ID, Label, DataType string
}

// FixedRow gives the latest value under Key a label in a table.
type FixedRow struct {
	Key, Label string
}
