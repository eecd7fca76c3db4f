package report

import "strings"

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
