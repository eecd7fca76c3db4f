package report_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/timeblob/timeblob/reports/report"
)

func host(id string, values ...report.Latest) *report.Node {
	return &report.Node{ID: id, Topology: "host", Latest: report.ValuesOf(values...), Sets: []report.StringSet{{Key: "s", Values: []string{id}}},
		Metrics: []report.Metric{{Key: "m", Samples: samples(1, 2), Min: 1, Max: 2}}, Children: []*report.Node{{ID: "c"}}}
}

func nodesOf(r *report.Report, k report.Kind) []*report.Node { return r.Topologies[k].Nodes }

func TestMergeSharesNodesThatDoNotChange(t *testing.T) {
	t.Parallel()
	for _, equal := range []*report.Node{host("b", latest("k", 1, "v")), host("b", latest("k", 0, "older"))} {
		a, b, c := host("a"), host("b", latest("k", 1, "v")), host("c")
		got := nodesOf(merge(t, withNodes(report.Host, a, b), withNodes(report.Host, equal, c)), report.Host)
		if len(got) != 3 || got[0] != a || got[2] != c {
			t.Fatalf("nodes of one part are not shared")
		}
		if got[1] != b && (got[1] != equal || !reflect.DeepEqual(b, equal)) {
			t.Errorf("a node that another copy adds nothing to is not shared")
		}
	}
}

func TestMergeSharesFieldsThatDoNotChange(t *testing.T) {
	t.Parallel()
	a, b := host("a", latest("k", 1, "v")), host("a", latest("k", 2, "v"))
	a.Adjacency = []string{"x"}
	got := nodesOf(merge(t, withNodes(report.Host, a), withNodes(report.Host, b)), report.Host)[0]
	if &got.Adjacency[0] != &a.Adjacency[0] || &got.Latest.Stamped()[0] != &b.Latest.Stamped()[0] {
		t.Error("the lists of the only copy that has the result are not shared")
	}
	if got.Children[0] != a.Children[0] && got.Children[0] != b.Children[0] {
		t.Error("equal children are not shared")
	}
}

func TestMergeSharesListsThatDoNotChange(t *testing.T) {
	t.Parallel()
	full := withNodes(report.Host, host("a", latest("k", 5, "v")), host("b"), host("c"))
	top := &full.Topologies[report.Host]
	top.Controls = []report.Control{{Key: "x"}, {Key: "y"}}
	top.MetadataTemplates = []report.MetadataTemplate{{Key: "x"}}
	top.TableTemplates = []report.TableTemplate{{Key: "x", Columns: []report.Column{{ID: "c"}}}}
	full.DNS = []report.DNSRecord{{Address: "a", Forward: []string{"x", "y"}}}
	full.Plugins = []report.PluginSpec{{ID: "p", Interfaces: []string{"i"}}}
	delta := withNodes(report.Host, host("a", latest("k", 3, "older")))
	delta.Topologies[report.Host].Controls = []report.Control{{Key: "y"}}
	delta.Topologies[report.Host].TableTemplates = []report.TableTemplate{{Key: "x"}}
	delta.DNS = []report.DNSRecord{{Address: "a", Forward: []string{"y"}}}
	delta.Plugins = []report.PluginSpec{{ID: "p"}}

	for _, parts := range [][]*report.Report{{full}, {full, delta}, {delta, full}, {report.New(), delta, full, full}} {
		got := merge(t, parts...)
		mine := got.Topologies[report.Host]
		shared := []bool{
			&mine.Nodes[0] == &top.Nodes[0], &mine.Controls[0] == &top.Controls[0],
			&mine.MetadataTemplates[0] == &top.MetadataTemplates[0], &mine.TableTemplates[0] == &top.TableTemplates[0],
			&got.DNS[0] == &full.DNS[0], &got.Plugins[0] == &full.Plugins[0],
		}
		if slices.Contains(shared, false) {
			t.Errorf("of %d parts, shared are %v", len(parts), shared)
		}
	}
}

func TestMergedListsHaveNoRoomToAppendInto(t *testing.T) {
	t.Parallel()
	var a, b []*report.Node
	for _, id := range []string{"a", "b", "c"} {
		a = append(a, host(id, latest("k", 1, id)))
		b = append(b, host(id, latest("l", 1, id)))
	}
	nodes := nodesOf(merge(t, withNodes(report.Host, a...), withNodes(report.Host, b...)), report.Host)
	for _, n := range nodes {
		_ = append(n.Latest.Stamped(), report.Stamped{Value: "z"})
		_ = append(n.Latest.Keys().Names(), "z")
	}
	for i, n := range nodes {
		want := report.ValuesOf(latest("k", 1, a[i].ID), latest("l", 1, a[i].ID))
		if !n.Latest.Equal(want) {
			t.Errorf("latest of %s is %v, want %v", n.ID, n.Latest, want)
		}
	}
}

// TestMergeLooksAtEveryField merges nodes, metrics and records that differ in
// one field each: none may be taken for another.
func TestMergeLooksAtEveryField(t *testing.T) {
	t.Parallel()
	var parts []*report.Report
	for _, change := range []func(*report.Node, *report.DNSRecord){
		func(n *report.Node, _ *report.DNSRecord) {},
		func(n *report.Node, _ *report.DNSRecord) { n.Topology = "host" },
		func(n *report.Node, _ *report.DNSRecord) { n.Unnamed = true },
		func(n *report.Node, _ *report.DNSRecord) { n.Latest = report.ValuesOf(latest("k", 1, "v")) },
		func(n *report.Node, _ *report.DNSRecord) { n.Sets = parents(under("s", "x")) },
		func(n *report.Node, _ *report.DNSRecord) { n.Adjacency = []string{"x"} },
		func(n *report.Node, _ *report.DNSRecord) { n.Metrics[0].Min = -1 },
		func(n *report.Node, _ *report.DNSRecord) { n.Metrics[0].Max = 9 },
		func(n *report.Node, _ *report.DNSRecord) { n.Metrics[0].Samples = samples(2, 2) },
		func(n *report.Node, _ *report.DNSRecord) { n.Parents = parents(under("s", "x")) },
		func(n *report.Node, _ *report.DNSRecord) { n.Children = []*report.Node{{ID: "x"}} },
		func(_ *report.Node, r *report.DNSRecord) { r.Forward = []string{"x"} },
		func(_ *report.Node, r *report.DNSRecord) { r.Reverse = []string{"x"} },
	} {
		n := &report.Node{ID: "n", Metrics: []report.Metric{{Key: "m", Samples: samples(1, 1)}}}
		record := report.DNSRecord{Address: "a"}
		change(n, &record)
		r := withNodes(report.Host, n)
		r.DNS = []report.DNSRecord{record}
		parts = append(parts, r)
	}
	for _, a := range parts {
		for _, b := range parts {
			pair := []*report.Report{a, b}
			if got, want := plain(merge(t, pair...)), plainMerge(pair); !reflect.DeepEqual(got, want) {
				t.Errorf("(- wanted, + got):\n%s", cmp.Diff(want, got))
			}
		}
	}
}
