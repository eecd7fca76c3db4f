package report_test

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/timeblob/timeblob/reports/report"
)

// The types plain… say what a report means, in maps. Merging them two by two
// is the rules of Merge written down a second time, with no thought of speed.

type plainReport struct {
	TS             time.Time
	Topologies     map[string]plainTopology
	DNS, LegacyDNS map[string]plainDNS
	Count, Total   uint64
	Window         time.Duration
	Shortcut       bool
	Plugins        map[string]report.PluginSpec
}

type plainTopology struct {
	Looks           [3]string // shape, tag, label with plural
	Nodes           map[identity]plainNode
	Controls        map[string]report.Control
	Metadata        map[string]report.MetadataTemplate
	MetricTemplates map[string]report.MetricTemplate
	Tables          map[string]report.TableTemplate
}

type identity struct{ ID, Topology string }

type plainNode struct {
	ID, Topology  string
	Unnamed       bool
	Sets, Parents map[string]set
	Adjacency     set
	Latest        map[string]stamped
	Metrics       map[string]plainMetric
	Children      map[identity]plainNode
	Controls      map[string]bool // of a host: the parts of active_controls
}

type (
	set      map[string]bool
	plainDNS struct{ Forward, Reverse set }
	stamped  struct {
		At    int64 // nanoseconds since the year 2000, which all tests are near of, or the least for none
		Value string
	}
	plainMetric struct {
		Samples  map[int64]float64
		Min, Max float64
	}
)

func instant(t time.Time) int64 {
	if t.IsZero() {
		return math.MinInt64
	}
	return t.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Nanoseconds()
}

func plain(r *report.Report) plainReport {
	p := plainReport{
		TS: r.TS, Count: r.Sampling.Count, Total: r.Sampling.Total, Window: r.Window, Shortcut: r.Shortcut,
		DNS: plainDNSOf(r.DNS), LegacyDNS: plainDNSOf(r.LegacyDNS),
		Plugins:    byKey(r.Plugins, func(p report.PluginSpec) string { return p.ID }),
		Topologies: map[string]plainTopology{},
	}
	for k := range r.Topologies {
		name := report.Kind(k).Name()
		t := &r.Topologies[k]
		p.Topologies[name] = plainTopology{
			Looks:           [3]string{t.Shape, t.Tag, t.Label + "\x00" + t.LabelPlural},
			Nodes:           plainNodes(t.Nodes, name),
			Controls:        byKey(t.Controls, func(c report.Control) string { return c.Key }),
			Metadata:        byKey(t.MetadataTemplates, func(m report.MetadataTemplate) string { return m.Key }),
			MetricTemplates: byKey(t.MetricTemplates, func(m report.MetricTemplate) string { return m.Key }),
			Tables:          byKey(t.TableTemplates, func(t report.TableTemplate) string { return t.Key }),
		}
	}
	return p
}

func byKey[E any](list []E, key func(E) string) map[string]E {
	m := map[string]E{}
	for _, e := range list {
		m[key(e)] = e
	}
	return m
}

func plainDNSOf(records []report.DNSRecord) map[string]plainDNS {
	m := map[string]plainDNS{}
	for _, r := range records {
		m[r.Address] = plainDNS{setOf(r.Forward), setOf(r.Reverse)}
	}
	return m
}

func setOf(values []string) set {
	s := set{}
	for _, v := range values {
		s[v] = true
	}
	return s
}

func plainSets(sets []report.StringSet) map[string]set {
	m := map[string]set{}
	for _, s := range sets {
		m[s.Key] = setOf(s.Values)
	}
	return m
}

func plainNodes(nodes []*report.Node, home string) map[identity]plainNode {
	m := map[identity]plainNode{}
	for _, n := range nodes {
		m[identity{n.ID, n.EffectiveTopology(home)}] = plainNodeOf(n, home)
	}
	return m
}

func plainNodeOf(n *report.Node, home string) plainNode {
	p := plainNode{
		ID: n.ID, Topology: n.Topology, Unnamed: n.Unnamed, Sets: plainSets(n.Sets), Parents: plainSets(n.Parents),
		Adjacency: setOf(n.Adjacency), Children: plainNodes(n.Children, home),
		Latest: map[string]stamped{}, Metrics: map[string]plainMetric{},
	}
	for l := range n.Latest.All() {
		p.Latest[l.Key] = stamped{instant(l.Timestamp.Time()), l.Value}
		if l.Key == "active_controls" && n.EffectiveTopology(home) == "host" {
			p.Latest[l.Key] = stamped{instant(l.Timestamp.Time()), ""}
			p.Controls = setOf(strings.FieldsFunc(l.Value, func(c rune) bool { return c == ';' }))
		}
	}
	for _, m := range n.Metrics {
		samples := map[int64]float64{}
		for _, s := range m.Samples {
			samples[instant(s.Date.Time())] = s.Value
		}
		p.Metrics[m.Key] = plainMetric{samples, m.Min, m.Max}
	}
	return p
}

// plainMerge merges by the rules, one part after the other.
func plainMerge(parts []*report.Report) plainReport {
	all := plain(report.New())
	for _, part := range parts {
		p := plain(part)
		if !p.TS.IsZero() && (all.TS.IsZero() || p.TS.Before(all.TS)) {
			all.TS = p.TS
		}
		all.Window, all.Count, all.Total = all.Window+p.Window, all.Count+p.Count, all.Total+p.Total
		all.DNS, all.LegacyDNS = union(all.DNS, p.DNS, joinDNS), union(all.LegacyDNS, p.LegacyDNS, joinDNS)
		all.Plugins = union(all.Plugins, p.Plugins, greater(func(p report.PluginSpec) []any {
			list := []any{p.Label, p.Description}
			for _, i := range p.Interfaces {
				list = append(list, "+"+i) // so that a shorter list, which goes on with the version, is less
			}
			return append(list, "", p.APIVersion, p.Status)
		}))
		for name, t := range p.Topologies {
			all.Topologies[name] = joinTopology(all.Topologies[name], t, plain(report.New()).Topologies[name].Looks)
		}
	}
	return all
}

func union[K comparable, V any](a, b map[K]V, join func(a, b V) V) map[K]V {
	m := map[K]V{}
	for k, v := range a {
		m[k] = v
	}
	for k, v := range b {
		if old, ok := m[k]; ok {
			v = join(old, v)
		}
		m[k] = v
	}
	return m
}

func unionSet(a, b set) set { return union(a, b, func(bool, bool) bool { return true }) }

func joinDNS(a, b plainDNS) plainDNS {
	return plainDNS{unionSet(a.Forward, b.Forward), unionSet(a.Reverse, b.Reverse)}
}

// greater joins by taking the one whose fields are the greater list.
func greater[V any](fields func(V) []any) func(a, b V) V {
	return func(a, b V) V {
		if slices.CompareFunc(fields(a), fields(b), compareAny) >= 0 {
			return a
		}
		return b
	}
}

func compareAny(a, b any) int {
	switch a := a.(type) {
	case string:
		return strings.Compare(a, b.(string))
	case int:
		return cmp.Compare(a, b.(int))
	case float64:
		return cmp.Compare(a, b.(float64))
	}
	panic("no such field")
}

func joinTopology(a, b plainTopology, defaults [3]string) plainTopology {
	for i := range a.Looks {
		if strings.Trim(defaults[i], "\x00") == "" {
			a.Looks[i] = max(a.Looks[i], b.Looks[i])
		}
	}
	return plainTopology{
		Looks: a.Looks,
		Nodes: union(a.Nodes, b.Nodes, joinNode),
		Controls: union(a.Controls, b.Controls, greater(func(c report.Control) []any {
			return []any{c.ID, c.Human, c.Icon, c.Confirmation, c.Rank, c.ProbeID}
		})),
		Metadata: union(a.Metadata, b.Metadata, greater(func(m report.MetadataTemplate) []any {
			return []any{m.Priority, m.ID, m.Label, m.Truncate, m.DataType, m.From}
		})),
		MetricTemplates: union(a.MetricTemplates, b.MetricTemplates, greater(func(m report.MetricTemplate) []any {
			return []any{m.Priority, m.ID, m.Label, m.Format, m.Group}
		})),
		Tables: union(a.Tables, b.Tables, joinTable),
	}
}

func joinTable(a, b report.TableTemplate) report.TableTemplate {
	columns := greater(func(t report.TableTemplate) []any {
		list := []any{len(t.Columns)}
		for _, c := range t.Columns {
			list = append(list, c.ID, c.Label, c.DataType)
		}
		return list
	})(a, b).Columns
	rows := greater(func(t report.TableTemplate) []any {
		list := []any{len(t.FixedRows)}
		for _, r := range t.FixedRows {
			list = append(list, r.Key, r.Label)
		}
		return list
	})(a, b).FixedRows
	return report.TableTemplate{
		Key: a.Key, ID: max(a.ID, b.ID), Label: max(a.Label, b.Label), Prefix: max(a.Prefix, b.Prefix),
		Type: max(a.Type, b.Type), Columns: columns, FixedRows: rows,
	}
}

func joinNode(a, b plainNode) plainNode {
	return plainNode{
		ID: a.ID, Topology: max(a.Topology, b.Topology), Unnamed: a.Unnamed && b.Unnamed,
		Sets: union(a.Sets, b.Sets, unionSet), Parents: union(a.Parents, b.Parents, unionSet),
		Adjacency: unionSet(a.Adjacency, b.Adjacency),
		Latest:    union(a.Latest, b.Latest, greater(func(s stamped) []any { return []any{int(s.At), s.Value} })),
		Metrics:   union(a.Metrics, b.Metrics, joinMetric),
		Children:  union(a.Children, b.Children, joinNode),
		Controls:  unionOrNil(a.Controls, b.Controls),
	}
}

func unionOrNil(a, b map[string]bool) map[string]bool {
	if a == nil && b == nil {
		return nil
	}
	return unionSet(a, b)
}

func joinMetric(a, b plainMetric) plainMetric {
	if (len(a.Samples) == 0) != (len(b.Samples) == 0) {
		if len(a.Samples) == 0 {
			return b
		}
		return a
	}
	return plainMetric{
		union(a.Samples, b.Samples, func(x, y float64) float64 { return max(x, y) }),
		math.Min(a.Min, b.Min), math.Max(a.Max, b.Max),
	}
}
