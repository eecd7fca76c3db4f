package report_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/timeblob/timeblob/reports/report"
)

func at(seconds int64) time.Time { return time.Unix(1_700_000_000+seconds, 0).UTC() }

// latest makes a latest value.
func latest(key string, seconds int64, value string) report.Latest {
	return report.Latest{Key: key, Timestamp: report.InstantOf(at(seconds)), Value: value}
}

// withNodes makes a report of some nodes.
func withNodes(k report.Kind, nodes ...*report.Node) *report.Report {
	r := report.New()
	r.Topologies[k].Nodes = nodes
	return r
}

// withTopology makes a report of a topology.
func withTopology(k report.Kind, t report.Topology) *report.Report {
	r := report.New()
	r.Topologies[k] = t
	return r
}

func samples(values ...float64) []report.Sample {
	var list []report.Sample
	for i := 0; i < len(values); i += 2 {
		list = append(list, report.Sample{Date: report.InstantOf(at(int64(values[i]))), Value: values[i+1]})
	}
	return list
}

func controls(seconds int64, value string) *report.Node {
	return &report.Node{ID: "h", Topology: "host", Latest: report.ValuesOf(latest("active_controls", seconds, value))}
}
func metric(min, max float64, samples []report.Sample) *report.Node {
	return &report.Node{ID: "h", Metrics: []report.Metric{{Key: "m", Samples: samples, Min: min, Max: max}}}
}

// nodeMerges are copies of one node, and what comes of them.
var nodeMerges = map[string]struct {
	kind report.Kind
	in   []*report.Node
	want []*report.Node
}{
	"latest: the newer wins": {report.Host,
		[]*report.Node{{ID: "h", Latest: report.ValuesOf(latest("a", 1, "z"), latest("b", 5, "old"))}, {ID: "h", Latest: report.ValuesOf(latest("a", 2, "y"), latest("c", 0, ""))}},
		[]*report.Node{{ID: "h", Latest: report.ValuesOf(latest("a", 2, "y"), latest("b", 5, "old"), latest("c", 0, ""))}}},
	"latest: the greater of two at one instant wins": {report.Host,
		[]*report.Node{{ID: "h", Latest: report.ValuesOf(latest("a", 1, "x"))}, {ID: "h", Latest: report.ValuesOf(latest("a", 1, "y"))}},
		[]*report.Node{{ID: "h", Latest: report.ValuesOf(latest("a", 1, "y"))}}},
	"active controls of a host are united at the newest time": {report.Host,
		[]*report.Node{controls(3, "b;a"), controls(9, "c;b"), controls(4, "")},
		[]*report.Node{controls(9, "a;b;c")}},
	"active controls of a host that nobody has": {report.Host,
		[]*report.Node{controls(3, ""), controls(4, "")},
		[]*report.Node{controls(4, "")}},
	"active controls of a node that stands among hosts": {report.Host,
		[]*report.Node{
			{ID: "h", Latest: report.ValuesOf(latest("active_controls", 3, "a"))},
			{ID: "h", Latest: report.ValuesOf(latest("active_controls", 2, "b"))},
		},
		[]*report.Node{{ID: "h", Latest: report.ValuesOf(latest("active_controls", 3, "a;b"))}}},
	"active controls of others are a latest value": {report.Container,
		[]*report.Node{
			{ID: "c", Latest: report.ValuesOf(latest("active_controls", 3, "a"))},
			{ID: "c", Latest: report.ValuesOf(latest("active_controls", 2, "b"))},
		},
		[]*report.Node{{ID: "c", Latest: report.ValuesOf(latest("active_controls", 3, "a"))}}},
	"metrics: samples by time, the widest scale": {report.Host,
		[]*report.Node{metric(0, 5, samples(1, 10, 3, 30)), metric(-1, 4, samples(2, 20, 4, 40))},
		[]*report.Node{metric(-1, 5, samples(1, 10, 2, 20, 3, 30, 4, 40))}},
	"metrics: the greater of two samples of one instant": {report.Host,
		[]*report.Node{metric(0, 0, samples(1, 10, 2, 20)), metric(0, 0, samples(1, 9, 2, 21))},
		[]*report.Node{metric(0, 0, samples(1, 10, 2, 21))}},
	"metrics: any number is greater than none": {report.Host,
		[]*report.Node{metric(0, 0, samples(1, math.NaN())), metric(0, 0, samples(1, -1))},
		[]*report.Node{metric(0, 0, samples(1, -1))}},
	"metrics: one without samples has no say in the scale": {report.Host,
		[]*report.Node{metric(0, 0, nil), metric(5, 6, samples(1, 5.5)), metric(9, 9, nil)},
		[]*report.Node{metric(5, 6, samples(1, 5.5))}},
	"metrics: none has samples": {report.Host,
		[]*report.Node{metric(1, 2, nil), metric(0, 1, nil)},
		[]*report.Node{metric(0, 2, nil)}},
	"sets, parents and adjacency are united": {report.Host,
		[]*report.Node{
			{ID: "h", Sets: []report.StringSet{{"s", []string{"a", "c"}}}, Parents: []report.StringSet{{"p", []string{"x"}}}, Adjacency: []string{"m"}},
			{ID: "h", Sets: []report.StringSet{{"r", nil}, {"s", []string{"b", "c"}}}, Parents: []report.StringSet{{"q", []string{"y"}}}, Adjacency: []string{"l", "m"}},
		},
		[]*report.Node{{ID: "h", Sets: []report.StringSet{{"r", nil}, {"s", []string{"a", "b", "c"}}},
			Parents: []report.StringSet{{"p", []string{"x"}}, {"q", []string{"y"}}}, Adjacency: []string{"l", "m"}}}},
	"a topology is taken from who has one": {report.Host,
		[]*report.Node{{ID: "h"}, {ID: "h", Topology: "host"}, {ID: "h"}},
		[]*report.Node{{ID: "h", Topology: "host"}}},
	"a node is named when a copy is": {report.Host,
		[]*report.Node{{ID: "h", Unnamed: true}, {ID: "h", Adjacency: []string{"a"}, Unnamed: true}, {ID: "h"}},
		[]*report.Node{{ID: "h", Adjacency: []string{"a"}}}},
	"a node stays unnamed when no copy is": {report.Host,
		[]*report.Node{{ID: "h", Unnamed: true}, {ID: "h", Adjacency: []string{"a"}, Unnamed: true}, {ID: "h", Adjacency: []string{"b"}, Unnamed: true}},
		[]*report.Node{{ID: "h", Adjacency: []string{"a", "b"}, Unnamed: true}}},
	"copies that disagree about the topology stay apart": {report.Host,
		[]*report.Node{{ID: "h", Topology: "pod"}, {ID: "h", Adjacency: []string{"a"}}, {ID: "h", Topology: "container"}, {ID: "h", Topology: "host"}},
		[]*report.Node{{ID: "h", Topology: "container"}, {ID: "h", Topology: "host", Adjacency: []string{"a"}}, {ID: "h", Topology: "pod"}}},
	"children are united, copies of one merged, at any depth": {report.Container,
		[]*report.Node{
			{ID: "c", Children: []*report.Node{{ID: "x", Children: []*report.Node{{ID: "z", Adjacency: []string{"a"}}}}, {ID: "y", Topology: "host"}}},
			{ID: "c", Children: []*report.Node{{ID: "w"}, {ID: "x", Topology: "container", Children: []*report.Node{{ID: "z", Adjacency: []string{"b"}}}}, {ID: "y", Topology: "process"}}},
		},
		[]*report.Node{{ID: "c", Children: []*report.Node{
			{ID: "w"}, {ID: "x", Topology: "container", Children: []*report.Node{{ID: "z", Adjacency: []string{"a", "b"}}}},
			{ID: "y", Topology: "host"}, {ID: "y", Topology: "process"},
		}}}},
}

// TestMergeNodes merges copies of one node, each in a report of its own.
func TestMergeNodes(t *testing.T) {
	t.Parallel()
	for name, c := range nodeMerges {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var parts []*report.Report
			for _, n := range c.in {
				parts = append(parts, withNodes(c.kind, n))
			}
			want := report.New()
			want.Topologies[c.kind].Nodes = c.want
			requireMerge(t, parts, want)
		})
	}
}

// requireMerge merges parts forwards, backwards, and with more copies of the
// last than one pass takes.
func requireMerge(t *testing.T, parts []*report.Report, want *report.Report) {
	t.Helper()
	var backwards, many []*report.Report
	for i := range parts {
		backwards = append(backwards, parts[len(parts)-1-i])
	}
	many = append(many, parts...)
	for range 40 {
		many = append(many, parts[len(parts)-1])
	}
	for name, list := range map[string][]*report.Report{"forwards": parts, "backwards": backwards, "many": many} {
		got := *merge(t, list...)
		got.ID = want.ID
		if diff := cmp.Diff(want, &got, cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("%s (- wanted, + got):\n%s", name, diff)
		}
	}
}

func TestMergeTopologies(t *testing.T) {
	t.Parallel()
	defaults := report.Pod.Defaults()
	with := func(t report.Topology) report.Topology {
		t.Shape, t.Tag, t.Label, t.LabelPlural = defaults.Shape, defaults.Tag, defaults.Label, defaults.LabelPlural
		return t
	}
	for name, c := range map[string]struct {
		kind report.Kind
		in   []report.Topology
		want report.Topology
	}{
		"looks: a default stands": {report.Pod,
			[]report.Topology{{Shape: "zebra", Tag: "a", Label: "zoo", LabelPlural: "zoos"}, {Tag: "b"}},
			report.Topology{Shape: "heptagon", Tag: "b", Label: "pod", LabelPlural: "pods"}},
		"looks: the greatest where there is no default": {report.Endpoint,
			[]report.Topology{{Shape: "circle", Label: "a", LabelPlural: "z"}, {}, {Label: "b", LabelPlural: "c"}, {Shape: "box", Label: "b", LabelPlural: "d"}},
			report.Topology{Shape: "circle", Label: "b", LabelPlural: "d"}},
		"controls: one is taken whole": {report.Pod,
			[]report.Topology{
				{Controls: []report.Control{{Key: "a", Human: "A", Rank: 1}, {Key: "b", Icon: "x"}}},
				{Controls: []report.Control{{Key: "a", Human: "B", Icon: "i"}, {Key: "c"}}},
			},
			with(report.Topology{Controls: []report.Control{{Key: "a", Human: "B", Icon: "i"}, {Key: "b", Icon: "x"}, {Key: "c"}}})},
		"metadata templates: the higher priority": {report.Pod,
			[]report.Topology{
				{MetadataTemplates: []report.MetadataTemplate{{Key: "a", ID: "x", Priority: 2}, {Key: "b", ID: "x"}}},
				{MetadataTemplates: []report.MetadataTemplate{{Key: "a", ID: "y", Priority: 1}, {Key: "b", ID: "y"}}},
			},
			with(report.Topology{MetadataTemplates: []report.MetadataTemplate{{Key: "a", ID: "x", Priority: 2}, {Key: "b", ID: "y"}}})},
		"metric templates: the higher priority": {report.Pod,
			[]report.Topology{
				{MetricTemplates: []report.MetricTemplate{{Key: "a", ID: "x", Priority: 2}, {Key: "b", Label: "x"}}},
				{MetricTemplates: []report.MetricTemplate{{Key: "a", ID: "y", Priority: 10}, {Key: "b", Format: "y"}}},
			},
			with(report.Topology{MetricTemplates: []report.MetricTemplate{{Key: "a", ID: "y", Priority: 10}, {Key: "b", Label: "x"}}})},
		"table templates: field by field": {report.Pod,
			[]report.Topology{
				{TableTemplates: []report.TableTemplate{{Key: "t", ID: "a", Label: "b", Prefix: "p", Columns: []report.Column{{ID: "z"}}, FixedRows: []report.FixedRow{{"a", "x"}, {"b", "x"}}}}},
				{TableTemplates: []report.TableTemplate{{Key: "t", ID: "b", Label: "a", Type: "t", Columns: []report.Column{{ID: "a"}, {ID: "b"}}, FixedRows: []report.FixedRow{{"a", "x"}, {"b", "y"}}}}},
			},
			with(report.Topology{TableTemplates: []report.TableTemplate{{Key: "t", ID: "b", Label: "b", Prefix: "p", Type: "t", Columns: []report.Column{{ID: "a"}, {ID: "b"}}, FixedRows: []report.FixedRow{{"a", "x"}, {"b", "y"}}}}})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var parts []*report.Report
			for _, top := range c.in {
				parts = append(parts, withTopology(c.kind, top))
			}
			requireMerge(t, parts, withTopology(c.kind, c.want))
		})
	}
}

// TestEveryFieldOfAnEntryDecides merges an entry with a copy that has one more field set, for each field of each type whose entries are taken whole. The copy is greater and wins.
func TestEveryFieldOfAnEntryDecides(t *testing.T) {
	t.Parallel()
	for _, entry := range []any{&report.Control{}, &report.MetadataTemplate{}, &report.MetricTemplate{}, &report.PluginSpec{}, &report.TableTemplate{}} {
		typ := reflect.TypeOf(entry).Elem()
		for i := 1; i < typ.NumField(); i++ {
			more := reflect.New(typ).Elem()
			setSomething(more.Field(i))
			for _, pair := range [][2]reflect.Value{{reflect.Zero(typ), more}, {more, reflect.Zero(typ)}} {
				merged := merge(t, withEntry(pair[0].Interface()), withEntry(pair[1].Interface()))
				want := withEntry(more.Interface())
				want.ID = merged.ID
				if diff := cmp.Diff(want, merged); diff != "" {
					t.Errorf("%s of %s (- wanted, + got):\n%s", typ.Field(i).Name, typ, diff)
				}
			}
		}
	}
}

func setSomething(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Int:
		v.SetInt(1)
	case reflect.Float64:
		v.SetFloat(1)
	default:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	}
}

// withEntry makes a report that holds one template, control or plugin.
func withEntry(entry any) *report.Report {
	r := report.New()
	top := &r.Topologies[report.Pod]
	switch e := entry.(type) {
	case report.Control:
		top.Controls = []report.Control{e}
	case report.MetadataTemplate:
		top.MetadataTemplates = []report.MetadataTemplate{e}
	case report.MetricTemplate:
		top.MetricTemplates = []report.MetricTemplate{e}
	case report.TableTemplate:
		top.TableTemplates = []report.TableTemplate{e}
	case report.PluginSpec:
		r.Plugins = []report.PluginSpec{e}
	}
	return r
}

func TestMergeHeads(t *testing.T) {
	t.Parallel()
	spec := func(id, label string) report.PluginSpec { return report.PluginSpec{ID: id, Label: label} }
	a := &report.Report{
		TS: at(5), Window: 3, Sampling: report.Sampling{Count: 1, Total: 2}, Shortcut: true, ID: "a",
		DNS:     []report.DNSRecord{{Address: "1", Forward: []string{"x"}}, {Address: "2", Reverse: []string{"r"}}},
		Plugins: []report.PluginSpec{spec("p", "x"), spec("q", "")},
	}
	b := &report.Report{
		TS: at(4), Window: 4, Sampling: report.Sampling{Count: 10, Total: 20}, Shortcut: true, ID: "b",
		DNS:       []report.DNSRecord{{Address: "1", Forward: []string{"w"}, Reverse: []string{"v"}}},
		LegacyDNS: []report.DNSRecord{{Address: "9", Forward: []string{"x"}}},
		Plugins:   []report.PluginSpec{spec("p", "y")},
	}
	want := report.New()
	want.TS, want.Window, want.Sampling = at(4), 7, report.Sampling{Count: 11, Total: 22}
	want.DNS = []report.DNSRecord{{Address: "1", Forward: []string{"w", "x"}, Reverse: []string{"v"}}, {Address: "2", Reverse: []string{"r"}}}
	want.LegacyDNS = b.LegacyDNS
	want.Plugins = []report.PluginSpec{spec("p", "y"), spec("q", "")}
	requireMerge(t, []*report.Report{a, b, report.New()}, want)
}

func TestMergedIDHashesTheIDsInOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ids  []string
		want string
	}{
		{nil, "0"},
		{[]string{""}, "0"},
		{[]string{"hello"}, "cbd8a7b341bd9b02"}, // the murmur3 reference vector of "hello"
		{[]string{"he", "", "llo"}, "cbd8a7b341bd9b02"},
	} {
		var parts []*report.Report
		for _, id := range c.ids {
			parts = append(parts, &report.Report{ID: id})
		}
		if got := merge(t, parts...).ID; got != c.want {
			t.Errorf("the ID of a merge of %q is %s, want %s", c.ids, got, c.want)
		}
	}
}

func TestMergeOfNothing(t *testing.T) {
	t.Parallel()
	want := report.New()
	want.ID = "0"
	for _, parts := range [][]*report.Report{nil, {{}}, {report.New(), {}}} {
		if diff := cmp.Diff(want, merge(t, parts...)); diff != "" {
			t.Errorf("%d empty parts (- wanted, + got):\n%s", len(parts), diff)
		}
	}
}

func TestMergeRefusesNil(t *testing.T) {
	t.Parallel()
	r, err := report.Merge([]*report.Report{report.New(), nil, report.New()})
	if r != nil || err == nil || !strings.Contains(err.Error(), "part 2 of 3") {
		t.Errorf("Merge = %v, %v", r, err)
	}
}

// nested makes a node with children within children, and a leaf of the given name.
func nested(depth int, leaf string) *report.Node {
	n := &report.Node{ID: leaf}
	for range depth {
		n = &report.Node{ID: "n", Children: []*report.Node{n}}
	}
	return n
}

func TestMergeBoundsTheDepthOfChildren(t *testing.T) {
	t.Parallel()
	for depth, ok := range map[int]bool{1: true, 64: true, 65: false, 10_000: false} {
		t.Run(fmt.Sprint(depth), func(t *testing.T) {
			t.Parallel()
			a, b := withNodes(report.Pod, nested(depth, "a")), withNodes(report.Pod, nested(depth, "b"))
			r, err := report.Merge([]*report.Report{a, b})
			if (err == nil) != ok || (r != nil) != ok {
				t.Errorf("Merge = %v", err)
			}
			if _, err := report.Merge([]*report.Report{a, report.New(), a}); err != nil {
				t.Errorf("what need not be merged is refused: %v", err)
			}
		})
	}
}

func TestMergeCountsConflicts(t *testing.T) {
	t.Parallel()
	a := withNodes(report.Host, &report.Node{ID: "h", Topology: "pod"}, &report.Node{ID: "i"})
	b := withNodes(report.Host, &report.Node{ID: "h"}, &report.Node{ID: "i", Topology: "host"})
	c := withNodes(report.Host, &report.Node{ID: "h", Topology: "container"})
	for _, parts := range [][]*report.Report{{a, b, c}, {c, b, a}, {a, merge(t, b, c)}, {merge(t, a, b, c)}, {merge(t, a, b), merge(t, b, c), a}} {
		if _, stats, err := report.MergeWithStats(parts); err != nil || stats.Conflicts != 2 {
			t.Errorf("%+v, %v, want 2 conflicts", stats, err)
		}
	}
	if _, stats, err := report.MergeWithStats([]*report.Report{b, b}); err != nil || stats.Conflicts != 0 {
		t.Errorf("%+v, %v, want no conflict", stats, err)
	}
}
