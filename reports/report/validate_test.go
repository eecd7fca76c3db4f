package report_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/reporttest"
	"github.com/timeblob/timeblob/reports/report/wire"
)

func TestValidateTakesWhatProbesSend(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"hosts/*/*.msgpack.gz", "k8s-node/*.msgpack.gz", "legacy/*.msgpack.gz"} {
		for i, r := range corpus(t, pattern) {
			if err := report.Validate(r); err != nil {
				t.Errorf("%s: report %d: %v", pattern, i, err)
			}
		}
	}
}

func TestValidateTakesWhatIsInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		if err := report.Validate(reporttest.Report().Draw(t, "report")); err != nil {
			t.Error(err)
		}
	})
}

func TestValidateRefuses(t *testing.T) {
	t.Parallel()
	nodes := func(nodes ...*report.Node) func(*report.Report) {
		return func(r *report.Report) { r.Topologies[report.Pod].Nodes = nodes }
	}
	deep := &report.Node{ID: "leaf"}
	for range 100 {
		deep = &report.Node{ID: "n", Children: []*report.Node{deep}}
	}
	for name, c := range map[string]struct {
		spoil func(*report.Report)
		says  string
	}{
		"a time before 1970":     {func(r *report.Report) { r.TS = time.Unix(-1, 0) }, "1970"},
		"a time after 2262":      {func(r *report.Report) { r.TS = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) }, "2262"},
		"a negative window":      {func(r *report.Report) { r.Window = -1 }, "window"},
		"DNS twice":              {func(r *report.Report) { r.DNS = []report.DNSRecord{{Address: "a"}, {Address: "a"}} }, "DNS"},
		"DNS names out of order": {func(r *report.Report) { r.DNS = []report.DNSRecord{{Reverse: []string{"b", "a"}}} }, "reverse"},
		"plugins out of order":   {func(r *report.Report) { r.Plugins = []report.PluginSpec{{ID: "b"}, {ID: "a"}} }, "Plugins"},
		"a nil node":             {nodes(nil), "Pod: nodes[0]: it is nil"},
		"a node without ID":      {nodes(&report.Node{}), "no ID"},
		"nodes out of order":     {nodes(&report.Node{ID: "b"}, &report.Node{ID: "a"}), "nodes"},
		"a node twice":           {nodes(&report.Node{ID: "a"}, &report.Node{ID: "a", Topology: "pod"}), "nodes"},
		"an ID of odd bytes":     {nodes(&report.Node{ID: "\xff"}), "UTF-8"},
		"a topology's odd bytes": {nodes(&report.Node{ID: "a", Topology: "\xff"}), "UTF-8"},
		"a key of odd bytes":     {nodes(&report.Node{ID: "a", Latest: report.ValuesOf(report.Latest{Key: "\xff"})}), "UTF-8"},
		"latest out of order":    {nodes(&report.Node{ID: "a", Latest: report.ValuesOf(report.Latest{Key: "b"}, report.Latest{Key: "a"})}), "latest"},
		"a set out of order":     {nodes(&report.Node{ID: "a", Sets: []report.StringSet{{Key: "s", Values: []string{"b", "a"}}}}), `"s"`},
		"a parent twice":         {nodes(&report.Node{ID: "a", Parents: []report.StringSet{{Key: "s", Values: []string{"a", "a"}}}}), `"s"`},
		"adjacency out of order": {nodes(&report.Node{ID: "a", Adjacency: []string{"b", "a"}}), "adjacency"},
		"samples out of order":   {nodes(&report.Node{ID: "a", Metrics: []report.Metric{{Samples: []report.Sample{{Date: report.InstantOf(at(1))}, {Date: report.InstantOf(at(0))}}}}}), "samples"},
		"a child without ID":     {nodes(&report.Node{ID: "a", Children: []*report.Node{{}}}), "children[0]"},
		"children out of order":  {nodes(&report.Node{ID: "a", Children: []*report.Node{{ID: "b"}, {ID: "a"}}}), "children"},
		"children too deep":      {nodes(deep), "deep"},
		"controls out of order": {func(r *report.Report) {
			r.Topologies[report.Pod].Controls = []report.Control{{Key: "b"}, {Key: "a"}}
		}, "Pod"},
		"rows out of order": {func(r *report.Report) {
			r.Topologies[report.Pod].TableTemplates = []report.TableTemplate{{FixedRows: []report.FixedRow{{Key: "b"}, {Key: "a"}}}}
		}, "fixedRows"},
	} {
		r := report.New()
		c.spoil(r)
		if err := report.Validate(r); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.says)
		} else if decoded := report.ValidateDecoded(r); !isOfOrder(name) && (decoded == nil || decoded.Error() != err.Error()) {
			t.Errorf("%s, as if it was just decoded: %v, want %v", name, decoded, err)
		}
	}
	if report.Validate(nil) == nil {
		t.Error("nil passes")
	}
}

// isOfOrder reports whether a fault is one that decoding removes.
func isOfOrder(fault string) bool {
	return strings.Contains(fault, "order") || strings.Contains(fault, "twice")
}

func TestValuesMayHoldAnyBytes(t *testing.T) {
	t.Parallel()
	r := report.New()
	r.Topologies[report.Process].Nodes = []*report.Node{{ID: "a", Latest: report.ValuesOf(report.Latest{Key: "cmdline", Value: "\xff"})}}
	if err := report.Validate(r); err != nil {
		t.Error(err)
	}
	text, err := wire.AppendJSON(nil, r)
	if err != nil || !strings.Contains(string(text), `\ufffd`) {
		t.Errorf("%s, %v", text, err)
	}
}
