package report

import (
	"errors"
	"slices"
	"strconv"
	"sync"

	"github.com/timeblob/timeblob/reports/report/internal/sorted"
)

// mergers holds the scratch memory of merges that have ended.
var mergers = sync.Pool{New: func() any { return newMerger() }}

// release forgets what was merged, and keeps the scratch memory for another merge.
func (m *merger) release() {
	for _, z := range []interface{ forget() }{&m.dns, &m.plugins, &m.controls, &m.metadata, &m.metricTemplates, &m.tables,
		&m.latest, &m.hostLatest, &m.sets, &m.strings, &m.metrics, &m.samples} {
		z.forget()
	}
	m.in, m.nodes, m.entries, m.names = forgotten(m.in), forgotten(m.nodes), forgotten(m.entries), forgotten(m.names)
	m.keys, m.stamped = nil, slab[Stamped]{}
	m.walk = walk{}
	m.made = slab[Node]{}
	m.stats, m.tooDeep = MergeStats{}, false
	mergers.Put(m)
}

func newMerger() *merger {
	m := &merger{
		plugins: zipper[PluginSpec]{order: (*PluginSpec).Compare, join: pick(preferPlugin)},

		controls:        zipper[Control]{order: (*Control).Compare, join: pick(preferControl)},
		metadata:        zipper[MetadataTemplate]{order: (*MetadataTemplate).Compare, join: pick(preferMetadata)},
		metricTemplates: zipper[MetricTemplate]{order: (*MetricTemplate).Compare, join: pick(preferMetricTemplate)},
		tables:          zipper[TableTemplate]{order: (*TableTemplate).Compare, join: joinTables},

		latest:     zipper[Latest]{order: (*Latest).Compare, join: pick(preferLatest)},
		hostLatest: zipper[Latest]{order: (*Latest).Compare, join: joinHostLatest},
		strings:    zipper[string]{order: sorted.Strings, join: pick(func(_, _ *string) int { return 0 }), equal: sorted.Equal},
		samples:    zipper[Sample]{order: (*Sample).Compare, join: pick(preferSample), equal: slices.Equal[[]Sample], follow: true},
	}
	m.dns = zipper[DNSRecord]{order: (*DNSRecord).Compare, join: m.joinDNS}
	m.sets = zipper[StringSet]{order: (*StringSet).Compare, join: m.joinSets, equal: equalSets}
	m.metrics = zipper[Metric]{order: (*Metric).Compare, join: m.joinMetrics}
	return m
}

// node merges at most fanIn copies of a node that stands in the topology named
// home. Elements of copies may be nil. node also returns which copies equal the
// result by meaning. If a copy does, that copy itself is the result.
func (m *merger) node(copies []*Node, home string, depth int) (*Node, origins) {
	if one, same := soleNode(copies); one != nil {
		return one, same
	}
	var n Node
	same := nameNode(&n, copies)
	same &= m.mergeValues(&n, copies, home)
	same &= m.mergeChildren(&n, copies, home, depth)
	if same != 0 {
		return copies[same.first()], same
	}
	return m.made.add(n), 0
}

// soleNode returns the node that all copies are, if they are one.
func soleNode(copies []*Node) (sole *Node, same origins) {
	for i, n := range copies {
		if n == nil {
			continue
		}
		if sole != nil && sole != n {
			return nil, 0
		}
		sole = n
		same |= 1 << i
	}
	return sole, same
}

// nameNode gives n the identity of its copies, with a topology if one has it,
// and named if one is.
func nameNode(n *Node, copies []*Node) origins {
	n.Unnamed = true
	for _, c := range copies {
		if c == nil {
			continue
		}
		n.ID, n.Unnamed = c.ID, n.Unnamed && c.Unnamed
		if c.Topology != n.Topology {
			n.Topology = max(n.Topology, c.Topology)
		}
	}
	var same origins
	for i, c := range copies {
		if c != nil && c.Topology == n.Topology && c.Unnamed == n.Unnamed {
			same |= 1 << i
		}
	}
	return same
}

// mergeValues merges all that copies hold but their children.
func (m *merger) mergeValues(n *Node, copies []*Node, home string) origins {
	var sets, links, metrics, parents int // how many, or fewer, any copy has
	for _, c := range copies {
		if c != nil {
			sets, links, metrics, parents = sets|len(c.Sets), links|len(c.Adjacency), metrics|len(c.Metrics), parents|len(c.Parents)
		}
	}
	same := allOf(len(copies))
	mergeIf(sets > 0, &same, &n.Sets, &m.sets, copies, func(n *Node) []StringSet { return n.Sets })
	mergeIf(links > 0, &same, &n.Adjacency, &m.strings, copies, func(n *Node) []string { return n.Adjacency })
	if metrics > 0 {
		merged, equal := m.mergeMetrics(copies)
		n.Metrics = merged
		same &= equal
	}
	mergeIf(parents > 0, &same, &n.Parents, &m.sets, copies, func(n *Node) []StringSet { return n.Parents })
	latest, equal := m.mergeLatest(copies, n.EffectiveTopology(home) == Host.Name())
	n.Latest = latest
	return same & equal
}

// mergeIf merges one list of each copy, if some are not empty, and drops from same
// the copies that do not equal the result.
func mergeIf[E any](some bool, same *origins, into *[]E, z *zipper[E], copies []*Node, list func(*Node) []E) {
	if some {
		merged, equal := mergeField(z, copies, list)
		*into = merged
		*same &= equal
	}
}

// mergeChildren merges the children of copies.
func (m *merger) mergeChildren(n *Node, copies []*Node, home string, depth int) (same origins) {
	if !slices.ContainsFunc(copies, hasChildren) {
		return allOf(len(copies))
	}
	if depth == maxChildDepth {
		m.tooDeep = true
		return 0
	}
	z := zipper[*Node]{
		order: func(a, b **Node) int { return (*a).Compare(*b, home) },
		join:  func(group []**Node) (*Node, origins) { return m.child(group, home, depth+1) },
	}
	n.Children, same = mergeField(&z, copies, func(n *Node) []*Node { return n.Children })
	return same
}

func hasChildren(n *Node) bool { return n != nil && len(n.Children) > 0 }

// child merges copies of a child.
func (m *merger) child(group []**Node, home string, depth int) (*Node, origins) {
	var copies [fanIn]*Node
	for i, c := range group {
		if c != nil {
			copies[i] = *c
		}
	}
	return m.node(copies[:len(group)], home, depth)
}

// joinSets merges sets of one name.
func (m *merger) joinSets(group []*StringSet) (StringSet, origins) {
	in := present(group)
	values, same := mergeField(&m.strings, group, func(s *StringSet) []string { return s.Values })
	return StringSet{Key: group[in.first()].Key, Values: values}, same & in
}

// equalSets reports whether two lists hold the same sets.
func equalSets(a, b []StringSet) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Key != b[i].Key || !sorted.Equal(a[i].Values, b[i].Values) {
			return false
		}
	}
	return true
}

// joinDNS merges records of one address.
func (m *merger) joinDNS(group []*DNSRecord) (DNSRecord, origins) {
	in := present(group)
	r := DNSRecord{Address: group[in.first()].Address}
	var forward, reverse origins
	r.Forward, forward = mergeField(&m.strings, group, func(r *DNSRecord) []string { return r.Forward })
	r.Reverse, reverse = mergeField(&m.strings, group, func(r *DNSRecord) []string { return r.Reverse })
	return r, in & forward & reverse
}

// mergeNodes merges sorted lists of nodes, none empty, that stand in the topology
// named home. It overwrites lists.
func (m *merger) mergeNodes(lists [][]*Node, home string) []*Node {
	for len(lists) > fanIn {
		groups := 0
		for chunk := range slices.Chunk(lists, fanIn) {
			lists[groups] = m.mergeNodes(chunk, home)
			groups++
		}
		lists = lists[:groups]
	}
	if sole, _, ok := soleList(lists, slices.Equal); ok {
		return sole
	}
	w := &m.walk
	w.start(lists, home)
	m.nodes = m.nodes[:0]
	for w.next() {
		if w.n == 1 {
			m.nodes = append(m.nodes, w.copies[0])
			continue
		}
		n, _ := m.node(w.copies[:w.n], home, 0)
		m.nodes = append(m.nodes, n)
	}
	for _, list := range lists {
		if slices.Equal(list, m.nodes) {
			return list
		}
	}
	return slices.Clone(m.nodes)
}

// maxChildDepth is how deep children may be nested: more than decoding yields.
const maxChildDepth = 64

var errTooDeep = errors.New("merge reports: children of nodes are nested deeper than " + strconv.Itoa(maxChildDepth))
