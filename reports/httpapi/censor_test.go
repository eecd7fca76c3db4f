package httpapi

import (
	"bytes"
	"testing"

	"github.com/timeblob/timeblob/reports/report"
)

// TestCensor checks that hidden text is nowhere in the answer, everything else is, and the values that the answer was made of stay as they are.
func TestCensor(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	r := container("c1", "h1")
	parent := *r.Topologies[report.Container].Nodes[0]
	parent.ID = "c2"
	parent.Latest = report.ValuesOf(report.Latest{Key: "cmdline", Timestamp: report.InstantOf(noon), Value: "bash -c secret"}, report.Latest{Key: "cmdline2", Timestamp: report.InstantOf(noon), Value: "a b"})
	parent.Children = []*report.Node{{ID: "a1"}, r.Topologies[report.Container].Nodes[0]}
	r.Topologies[report.Container].Nodes = append(r.Topologies[report.Container].Nodes, &parent)
	f.add(t, "", r, "")
	f.add(t, "", hosts("h1"), "")
	full := asJSON(t, f.live(t, ""))
	for query, want := range map[string]struct{ arguments, environment bool }{
		"":                               {true, true},
		"?hideCommandLineArguments=true": {false, true},
		"?hideEnvironmentVariables=true": {true, false},
		"?hideCommandLineArguments=true&hideEnvironmentVariables=1": {false, false},
		"?hideCommandLineArguments=false&hideEnvironmentVariables":  {true, false},
	} {
		text := f.serve("GET", "/api/report"+query, nil).Body.Bytes()
		if got := bytes.Contains(text, []byte("--secret x")); got != want.arguments {
			t.Errorf("%s: arguments shown: %v", query, got)
		}
		if got := bytes.Contains(text, []byte("-c secret")); got != want.arguments {
			t.Errorf("%s: cmdline's arguments shown: %v", query, got)
		}
		if got := bytes.Contains(text, []byte("s3cret")) || bytes.Contains(text, []byte("docker_env_")); got != want.environment {
			t.Errorf("%s: environment shown: %v", query, got)
		}
		for _, kept := range []string{`"run`, `"bash`, "cmdline2", "a b", `"a1"`, "host_node_id", "h1;"} {
			if !bytes.Contains(text, []byte(kept)) {
				t.Errorf("%s: %s is missing", query, kept)
			}
		}
	}
	if !bytes.Equal(full, asJSON(t, f.live(t, ""))) {
		t.Error("the live report has changed")
	}
}

// TestCensorShares checks that what needs no change is not copied.
func TestCensorShares(t *testing.T) {
	t.Parallel()
	r := merged(t, container("c1", "h1"), hosts("h1"))
	c := censor{environment: true}.of(r)
	if &c.Topologies[report.Host].Nodes[0] != &r.Topologies[report.Host].Nodes[0] {
		t.Error("a topology without secrets was copied")
	}
	if c.Topologies[report.Container].Nodes[0] == r.Topologies[report.Container].Nodes[0] {
		t.Error("a node with secrets was not copied")
	}
	if c := (censor{}).of(r); c != r {
		t.Error("hiding nothing copied the report")
	}
}
