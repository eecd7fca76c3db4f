// Package reporttest makes up random reports for tests.
package reporttest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/reports/report"
)

// Report generates reports in the form that decoding and merging promise.
// Names, times and values come from small sets, so that two reports often hold
// the same node, the same key at the same instant, or the same value: merges
// meet all their cases within a few tries.
func Report() *rapid.Generator[*report.Report] {
	return rapid.Custom(drawReport)
}

// Instant generates instants, some of them equal, some a nanosecond apart, some
// zero.
func Instant() *rapid.Generator[report.Instant] {
	return rapid.Custom(func(t *rapid.T) report.Instant {
		switch n := rapid.IntRange(-1, 5).Draw(t, "time"); n {
		case -1:
			return report.Instant{}
		default:
			return report.InstantOf(time.Unix(1_700_000_000+int64(n/3), int64(n%3)))
		}
	})
}

func drawReport(t *rapid.T) *report.Report {
	r := report.New()
	r.TS = Instant().Draw(t, "TS").Time()
	for range rapid.IntRange(0, 4).Draw(t, "topologies") {
		k := report.Kind(rapid.IntRange(0, report.KindCount-1).Draw(t, "kind"))
		if rapid.Bool().Draw(t, "likely kind") {
			k = rapid.SampledFrom([]report.Kind{report.Endpoint, report.Container, report.Host}).Draw(t, "kind")
		}
		drawTopology(t, k, &r.Topologies[k])
	}
	r.DNS = drawDNS(t)
	if rapid.IntRange(0, 9).Draw(t, "legacy") == 0 {
		r.LegacyDNS = drawDNS(t)
	}
	r.Sampling = report.Sampling{Count: rapid.Uint64Range(0, 99).Draw(t, "count"), Total: rapid.Uint64Range(0, 1<<40).Draw(t, "total")}
	r.Window = time.Duration(rapid.Int64Range(0, 9e9).Draw(t, "window"))
	r.Shortcut = rapid.Bool().Draw(t, "shortcut")
	r.Plugins = keyed(t, "plugins", drawPlugin, func(p report.PluginSpec) string { return p.ID })
	r.ID = name(t)
	return r
}

func drawTopology(t *rapid.T, k report.Kind, tp *report.Topology) {
	if rapid.IntRange(0, 9).Draw(t, "look") == 0 {
		tp.Shape, tp.Tag, tp.Label, tp.LabelPlural = text(t), text(t), text(t), text(t)
	}
	tp.Nodes = drawNodes(t, k, 2, false)
	tp.Controls = keyed(t, "controls", drawControl, func(c report.Control) string { return c.Key })
	tp.MetadataTemplates = keyed(t, "metadata", drawMetadataTemplate, func(m report.MetadataTemplate) string { return m.Key })
	tp.MetricTemplates = keyed(t, "metric templates", drawMetricTemplate, func(m report.MetricTemplate) string { return m.Key })
	tp.TableTemplates = keyed(t, "tables", drawTableTemplate, func(m report.TableTemplate) string { return m.Key })
}

func drawNodes(t *rapid.T, k report.Kind, depth int, child bool) []*report.Node {
	draw := func(t *rapid.T) *report.Node { return drawNode(t, k, depth, child) }
	nodes := keyed(t, "nodes", draw, func(n *report.Node) string { return n.ID + "\x00" + n.EffectiveTopology(k.Name()) })
	slices.SortFunc(nodes, func(a, b *report.Node) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.EffectiveTopology(k.Name()), b.EffectiveTopology(k.Name())))
	})
	return nodes
}

func drawNode(t *rapid.T, k report.Kind, depth int, child bool) *report.Node {
	n := &report.Node{ID: name(t), Topology: k.Name()}
	if rapid.IntRange(0, 5).Draw(t, "odd topology") == 0 {
		n.Topology = rapid.SampledFrom([]string{"", "host", "container", "z"}).Draw(t, "topology")
	}
	n.Unnamed = !child && rapid.IntRange(0, 3).Draw(t, "unnamed") == 0
	n.Sets = drawSets(t, "sets")
	n.Adjacency = names(t, "adjacency")
	n.Latest = report.ValuesOf(keyed(t, "latest", drawLatest, func(l report.Latest) string { return l.Key })...)
	n.Metrics = keyed(t, "metrics", drawMetric, func(m report.Metric) string { return m.Key })
	n.Parents = drawSets(t, "parents")
	if depth > 0 && rapid.IntRange(0, 3).Draw(t, "has children") == 0 {
		n.Children = drawNodes(t, k, depth-1, true)
	}
	return n
}

func drawSets(t *rapid.T, label string) []report.StringSet {
	return keyed(t, label, func(t *rapid.T) report.StringSet {
		return report.StringSet{Key: name(t), Values: names(t, "values")}
	}, func(s report.StringSet) string { return s.Key })
}

func drawLatest(t *rapid.T) report.Latest {
	l := report.Latest{Key: name(t), Timestamp: Instant().Draw(t, "timestamp"), Value: text(t)}
	if rapid.IntRange(0, 3).Draw(t, "controls") == 0 {
		l.Key = "active_controls"
		l.Value = fmt.Sprint(rapid.SampledFrom([]string{"", "a", "a;b", "b;c", "d"}).Draw(t, "controls"))
	}
	return l
}

func drawMetric(t *rapid.T) report.Metric {
	samples := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) report.Sample {
		return report.Sample{Date: Instant().Draw(t, "date"), Value: number(t)}
	}), 0, 4, func(s report.Sample) report.Instant { return s.Date }).Draw(t, "samples")
	slices.SortFunc(samples, func(a, b report.Sample) int { return a.Date.Compare(b.Date) })
	return report.Metric{Key: name(t), Samples: orNil(samples), Min: number(t), Max: number(t)}
}
