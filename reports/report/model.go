// Package report is the data model of Weave Scope's reports: what a probe
// posts, what a collector merges and stores, and what a query service reads.
//
// # Identity of nodes
//
// Within a topology a node is identified by its ID and its effective topology:
// the name it carries itself or, when it carries none, the name of the topology
// it stands in ([Kind.Name]). An ID nearly always occurs once. Copies that
// disagree about the topology stand beside each other.
//
// # Order
//
// Every slice that is a map or a set on the wire is sorted by bytewise
// comparison of its key and holds each key once, so that two of them can be
// merged by walking both. The same content always has the same form, and the
// same encoding.
package report

import "time"

// Report is one snapshot of what a probe saw, or the merge of several.
//
// Nobody may change a report that was decoded, merged or handed to another
// package, because merges share the parts that they did not change. The zero
// value is valid. [New] returns the empty report that decoding and merging start
// from.
type Report struct {
	TS         time.Time // in UTC; zero when unknown
	Topologies [KindCount]Topology
	DNS        []DNSRecord // sorted by Address
	LegacyDNS  []DNSRecord // the top-level "nodes" of old probes, sorted by Address; Upgrade moves it to DNS
	Sampling   Sampling
	Window     time.Duration // the time that was observed; merges add it up
	Shortcut   bool          // shown at once, and never stored
	Plugins    []PluginSpec  // sorted by ID
	ID         string
}

// New returns the empty report: every topology with the shape, the tag and the
// labels of its kind, and nothing else.
func New() *Report {
	r := new(Report)
	for k := range r.Topologies {
		r.Topologies[k] = Kind(k).Defaults()
	}
	return r
}

// Topology is one kind of thing in a report: its nodes, and how to show them.
type Topology struct {
	Shape, Tag         string
	Label, LabelPlural string

	Nodes             []*Node            // sorted by ID, then effective topology
	Controls          []Control          // sorted by Key
	MetadataTemplates []MetadataTemplate // sorted by Key
	MetricTemplates   []MetricTemplate   // sorted by Key
	TableTemplates    []TableTemplate    // sorted by Key
}

// Node is one thing that a probe saw.
type Node struct {
	ID, Topology string
	// Unnamed means that the encoded node has no field for its ID: only its key
	// in the map of nodes tells the ID, as in the deltas that probes send. The
	// merge of copies is named if one of them is named. Children, and the node
	// with the empty ID, are never Unnamed.
	Unnamed bool

	Sets      []StringSet // sorted by Key
	Adjacency []string    // sorted, unique: the IDs of the nodes it talks to
	Latest    Values      // sorted by Key
	Metrics   []Metric    // sorted by Key
	Parents   []StringSet // sorted by Key, which names a topology; the values are node IDs
	Children  []*Node     // sorted by ID, then effective topology; they stand in the topology their parent stands in
}

// EffectiveTopology returns the name of the topology that n belongs to: n's own
// Topology or, if n has none, standsIn, the topology that holds n.
func (n *Node) EffectiveTopology(standsIn string) string {
	if n.Topology != "" {
		return n.Topology
	}
	return standsIn
}

// StringSet is a named set of strings. Values are sorted and unique.
type StringSet struct {
	Key    string
	Values []string
}

// Metric is a named series of samples. Min and Max bound the scale it is drawn
// on, and need not bound the samples.
type Metric struct {
	Key      string
	Samples  []Sample // sorted by Date, one for each instant
	Min, Max float64
}

// Sample is one measurement.
type Sample struct {
	Date  Instant
	Value float64
}

// Sampling says how many packets passed (Total), and how many of them the probe
// looked at (Count).
type Sampling struct {
	Count, Total uint64
}

// DNSRecord holds the names of an address. Forward holds the names that resolved
// to the address, Reverse the names that the address resolved to. Both are sorted
// and unique.
type DNSRecord struct {
	Address          string
	Forward, Reverse []string
}

// PluginSpec describes a plugin that takes part in a probe. The order of
// Interfaces is the plugin's.
type PluginSpec struct {
	ID, Label, Description string
	Interfaces             []string
	APIVersion, Status     string
}

// Defaults returns the empty topology of this kind: shape, tag and labels.
func (k Kind) Defaults() Topology {
	d := &kinds[k]
	return Topology{Shape: d.shape, Tag: d.tag, Label: d.label, LabelPlural: d.plural}
}
