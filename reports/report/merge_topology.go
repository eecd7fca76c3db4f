package report

import (
	"slices"
	"strings"
)

// mergeTopology merges the topologies of one kind into t, which holds the
// kind's defaults.
func (m *merger) mergeTopology(t *Topology, k Kind, parts []*Report) {
	mergeLooks(t, k, parts)
	t.Controls = mergeOf(&m.controls, parts, func(p *Report) []Control { return p.Topologies[k].Controls })
	t.MetadataTemplates = mergeOf(&m.metadata, parts, func(p *Report) []MetadataTemplate { return p.Topologies[k].MetadataTemplates })
	t.MetricTemplates = mergeOf(&m.metricTemplates, parts, func(p *Report) []MetricTemplate { return p.Topologies[k].MetricTemplates })
	t.TableTemplates = mergeOf(&m.tables, parts, func(p *Report) []TableTemplate { return p.Topologies[k].TableTemplates })
	m.in = gather(m.in, parts, func(p *Report) []*Node { return p.Topologies[k].Nodes })
	t.Nodes = m.mergeNodes(m.in, k.Name())
	m.stats.Conflicts += conflicts(t.Nodes)
}

// mergeLooks gives t the greatest of each look that it has none of.
func mergeLooks(t *Topology, k Kind, parts []*Report) {
	shape, tag, label := t.Shape == "", t.Tag == "", t.Label == ""
	for _, p := range parts {
		other := &p.Topologies[k]
		if shape {
			t.Shape = max(t.Shape, other.Shape)
		}
		if tag {
			t.Tag = max(t.Tag, other.Tag)
		}
		if label && compareLabels(other, t) > 0 {
			t.Label, t.LabelPlural = other.Label, other.LabelPlural
		}
	}
}

// compareLabels orders labels, then their plurals.
func compareLabels(a, b *Topology) int {
	if c := strings.Compare(a.Label, b.Label); c != 0 {
		return c
	}
	return strings.Compare(a.LabelPlural, b.LabelPlural)
}

// mergeNodes merges sorted lists of nodes, none empty, that stand in the
// topology named home.
func (m *merger) mergeNodes(lists [][]*Node, home string) []*Node {
	if sole, _, ok := soleList(lists, slices.Equal); ok {
		return sole
	}
	out := m.joinRuns(m.interleave(lists, home), home)
	for _, list := range lists {
		if slices.Equal(list, out) {
			return list
		}
	}
	return slices.Clone(out)
}

// conflicts counts the nodes of a sorted list that stand beside another of
// the same ID.
func conflicts(nodes []*Node) int {
	n := 0
	for i := 1; i < len(nodes); i++ {
		if nodes[i].ID == nodes[i-1].ID {
			n++
		}
	}
	return n
}

// interleave returns all nodes of the lists in order, in scratch memory.
func (m *merger) interleave(lists [][]*Node, home string) []*Node {
	n := 0
	for _, list := range lists {
		n += len(list)
	}
	m.nodes = slices.Grow(m.nodes[:0], 2*n)[:2*n]
	interleave(m.nodes[:n], m.nodes[n:], lists, home)
	return m.nodes[:n]
}

// interleave merges the lists into dst; tmp is as long as dst, and scratch.
// Equal nodes keep the order of their lists.
func interleave(dst, tmp []*Node, lists [][]*Node, home string) {
	switch len(lists) {
	case 1:
		copy(dst, lists[0])
		return
	case 2:
		mergeTwo(dst, lists[0], lists[1], home)
		return
	}
	half, n := len(lists)/2, 0
	for _, list := range lists[:half] {
		n += len(list)
	}
	interleave(tmp[:n], dst[:n], lists[:half], home)
	interleave(tmp[n:], dst[n:], lists[half:], home)
	mergeTwo(dst, tmp[:n], tmp[n:], home)
}

// mergeTwo merges two lists, neither empty, into dst.
func mergeTwo(dst, a, b []*Node, home string) {
	if a[len(a)-1].Compare(b[0], home) <= 0 {
		copy(dst[copy(dst, a):], b)
		return
	}
	for i := range dst {
		if len(b) == 0 || len(a) > 0 && a[0].Compare(b[0], home) <= 0 {
			dst[i], a = a[0], a[1:]
		} else {
			dst[i], b = b[0], b[1:]
		}
	}
}

// joinRuns replaces, in place, each run of copies by their merge.
func (m *merger) joinRuns(all []*Node, home string) []*Node {
	out := all[:0]
	for len(all) > 0 {
		n := runLength(all, home)
		out = append(out, m.joinAll(all[:n], home))
		all = all[n:]
	}
	return out
}

// runLength returns how many nodes at the start are copies of one.
func runLength(nodes []*Node, home string) int {
	n := 1
	for n < len(nodes) && nodes[0].Compare(nodes[n], home) == 0 {
		n++
	}
	return n
}

// joinAll merges the copies of a node, using their slice as scratch memory.
func (m *merger) joinAll(copies []*Node, home string) *Node {
	for len(copies) > 1 {
		groups := 0
		for chunk := range slices.Chunk(copies, fanIn) {
			copies[groups], _ = m.node(chunk, home, 0)
			groups++
		}
		copies = copies[:groups]
	}
	return copies[0]
}
