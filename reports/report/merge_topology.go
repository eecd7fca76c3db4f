package report

import (
	"cmp"
	"slices"
	"strings"

	"github.com/timeblob/timeblob/reports/report/internal/sorted"
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

// A head is a node with the part of its ID that decides most comparisons, so
// that the node need not be fetched for them.
type head struct {
	prefix uint64 // of what follows the bytes that all IDs begin with
	node   *Node
}

func (h head) compare(other head, home string) int {
	if h.prefix != other.prefix {
		return cmp.Compare(h.prefix, other.prefix)
	}
	return h.node.Compare(other.node, home)
}

// interleave returns all nodes of the lists in order, in scratch memory.
func (m *merger) interleave(lists [][]*Node, home string) []head {
	n, common := 0, len(lists[0][0].ID)
	for _, list := range lists {
		n += len(list)
		for _, end := range []*Node{list[0], list[len(list)-1]} { // those between lie between
			common = sorted.Common(lists[0][0].ID[:common], end.ID)
		}
	}
	m.heads = slices.Grow(m.heads[:0], 2*n)[:2*n]
	interleave(m.heads[:n], m.heads[n:], lists, common, home)
	return m.heads[:n]
}

// interleave merges the lists into dst; tmp is as long as dst, and scratch.
// Equal nodes keep the order of their lists.
func interleave(dst, tmp []head, lists [][]*Node, common int, home string) {
	if len(lists) == 1 {
		for i, node := range lists[0] {
			dst[i] = head{sorted.Prefix(node.ID[common:]), node}
		}
		return
	}
	half, n := len(lists)/2, 0
	for _, list := range lists[:half] {
		n += len(list)
	}
	interleave(tmp[:n], dst[:n], lists[:half], common, home)
	interleave(tmp[n:], dst[n:], lists[half:], common, home)
	mergeTwo(dst, tmp[:n], tmp[n:], home)
}

// mergeTwo merges two lists, neither empty, into dst.
func mergeTwo(dst, a, b []head, home string) {
	if a[len(a)-1].compare(b[0], home) <= 0 {
		copy(dst[copy(dst, a):], b)
		return
	}
	for i := range dst {
		if len(b) == 0 || len(a) > 0 && a[0].compare(b[0], home) <= 0 {
			dst[i], a = a[0], a[1:]
		} else {
			dst[i], b = b[0], b[1:]
		}
	}
}

// joinRuns returns the nodes, in scratch memory, with the merge of each run of
// copies in their place.
func (m *merger) joinRuns(all []head, home string) []*Node {
	m.nodes = m.nodes[:0]
	for len(all) > 0 {
		n := runLength(all, home)
		if n == 1 {
			m.nodes = append(m.nodes, all[0].node)
		} else {
			m.copies = m.copies[:0]
			for _, h := range all[:n] {
				m.copies = append(m.copies, h.node)
			}
			m.nodes = append(m.nodes, m.joinAll(m.copies, home))
		}
		all = all[n:]
	}
	return m.nodes
}

// runLength returns how many nodes at the start are copies of one.
func runLength(nodes []head, home string) int {
	n := 1
	for n < len(nodes) && nodes[0].compare(nodes[n], home) == 0 {
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
