package report

// merger holds the scratch memory of one merge. It is for one goroutine.
type merger struct {
	stats   MergeStats
	tooDeep bool // children were nested deeper than maxChildDepth

	dns     zipper[DNSRecord]
	plugins zipper[PluginSpec]

	controls        zipper[Control]
	metadata        zipper[MetadataTemplate]
	metricTemplates zipper[MetricTemplate]
	tables          zipper[TableTemplate]

	latest     zipper[Latest]
	hostLatest zipper[Latest]
	entries    []Latest
	names      []string
	keys       *Keys // of the latest values that were made last
	stamped    slab[Stamped]
	sets       zipper[StringSet]
	strings    zipper[string]
	metrics    zipper[Metric]
	samples    zipper[Sample]

	in    [][]*Node
	walk  walk
	nodes []*Node
	made  slab[Node]
}

// MergeStats says what a merge did.
type MergeStats struct {
	// Conflicts is how many nodes of the result stand beside one of the same
	// ID and another effective topology: two probes, or two versions of one,
	// disagree about what the node is. Copies that a part already held apart
	// count too, so how merges are nested does not change the figure.
	// Children are not counted.
	Conflicts int
}
