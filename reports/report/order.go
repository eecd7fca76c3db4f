package report

import "strings"

// The lists of a report are sorted by these orders. Each compares the keys of
// two elements of a list, and nothing else.

// Compare orders latest values by Key.
func (l *Latest) Compare(other *Latest) int { return strings.Compare(l.Key, other.Key) }

// Compare orders sets by Key.
func (s *StringSet) Compare(other *StringSet) int { return strings.Compare(s.Key, other.Key) }

// Compare orders metrics by Key.
func (m *Metric) Compare(other *Metric) int { return strings.Compare(m.Key, other.Key) }

// Compare orders samples by Date.
func (s *Sample) Compare(other *Sample) int { return s.Date.Compare(other.Date) }

// Compare orders DNS records by Address.
func (r *DNSRecord) Compare(other *DNSRecord) int { return strings.Compare(r.Address, other.Address) }

// Compare orders plugins by ID.
func (p *PluginSpec) Compare(other *PluginSpec) int { return strings.Compare(p.ID, other.ID) }

// Compare orders controls by Key.
func (c *Control) Compare(other *Control) int { return strings.Compare(c.Key, other.Key) }

// Compare orders metadata templates by Key.
func (t *MetadataTemplate) Compare(other *MetadataTemplate) int {
	return strings.Compare(t.Key, other.Key)
}

// Compare orders metric templates by Key.
func (t *MetricTemplate) Compare(other *MetricTemplate) int { return strings.Compare(t.Key, other.Key) }

// Compare orders table templates by Key.
func (t *TableTemplate) Compare(other *TableTemplate) int { return strings.Compare(t.Key, other.Key) }

// Compare orders fixed rows by Key.
func (r *FixedRow) Compare(other *FixedRow) int { return strings.Compare(r.Key, other.Key) }

// Compare orders nodes that stand in the topology named home: by ID, then by
// effective topology.
func (n *Node) Compare(other *Node, home string) int {
	if n.ID != other.ID {
		return strings.Compare(n.ID, other.ID)
	}
	if n.Topology == other.Topology {
		return 0
	}
	return strings.Compare(n.EffectiveTopology(home), other.EffectiveTopology(home))
}
