package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

func TestMain(m *testing.M) {
	// The HTTP server keeps a closed connection for half a second.
	goleak.VerifyTestMain(servertest.Main(m), goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

var corpus = filepath.Join("..", "..", "reports", "testdata", "corpus")

// TestBodies checks that a post is the captured report with one more node.
func TestBodies(t *testing.T) {
	t.Parallel()
	bodies, err := loadBodies(filepath.Join(corpus, "k8s-node"), 1)
	if err != nil || len(bodies[0]) != 6 {
		t.Fatalf("%d bodies, %v", len(bodies), err)
	}
	for _, b := range bodies[0] {
		head, rest, err := b.post("t;7")
		if err != nil {
			t.Fatal(err)
		}
		r, err := wire.Codec{}.Decode(append(head, rest...))
		if err != nil {
			t.Fatal(err)
		}
		if err := report.Validate(r); err != nil {
			t.Error(err)
		}
		if nodes := r.Topologies[marked].Nodes; len(nodes) != 1 || nodes[0].ID != "t;7" {
			t.Errorf("marked with %v", nodes)
		}
		if n := len(r.Topologies[report.Endpoint].Nodes); n < 1400 || r.Topologies[marked].Shape != "circle" {
			t.Errorf("%d endpoints, shape %q", n, r.Topologies[marked].Shape)
		}
	}
	if _, err := loadBodies(t.TempDir(), 1); err == nil || !strings.Contains(err.Error(), "-reports") {
		t.Errorf("an empty directory: %v", err)
	}
}

// TestFaults checks that missing and unexpected posts are found, and that failed posts may be either.
func TestFaults(t *testing.T) {
	t.Parallel()
	p := &probe{tenant: "t", sent: 4, doubt: []int{2}}
	for want, found := range map[string][]string{
		"":                       {"t;0", "t;1", "t;3"},
		" ":                      {"t;0", "t;1", "t;2", "t;3"},
		"1 of 3 posts are lost":  {"t;0", "t;1", "t;2"},
		"3 of 3 posts are lost":  nil,
		`"u;9", which it did no`: {"t;0", "t;1", "t;3", "u;9"},
	} {
		ids := map[string]bool{}
		for _, id := range found {
			ids[id] = true
		}
		if got := strings.Join(p.faults(maps.Clone(ids)), "; "); !strings.Contains(got, strings.TrimSpace(want)) || (got == "") != (strings.TrimSpace(want) == "") {
			t.Errorf("%v: got %q, want %q", found, got, want)
		}
	}
}

// drive runs the command and returns its exit code and output.
func drive(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, said bytes.Buffer
	code = run(t.Context(), append([]string{"-reports", filepath.Join(corpus, "k8s-node")}, args...), &out, &said)
	return code, out.String(), said.String()
}

// driveBuilt is drive with a collector that was built before.
func driveBuilt(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return drive(t, append([]string{"-collector", servertest.Built(t, commandPackage)}, args...)...)
}

// TestSiege builds and drives a real collector for a moment.
func TestSiege(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := drive(t, "-json", "-tenants", "4", "-every", "500ms", "-duration", "2500ms", "-questions", "10",
		"-sample", "300ms", "-progress", "500ms", "--", "--tick", "200ms", "--window", "1s")
	if code != 0 {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	var r Siege
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if r.Posts.Count+int(r.Skipped) < 16 || r.Received != r.Posts.Count || r.Live.Count == 0 || r.Past.Count == 0 || r.Posts.P99 == 0 {
		t.Errorf("got %+v", r)
	}
	if r.Check.Tenants != 4 || r.Check.Posts != r.Posts.Count || len(r.Check.Faults) != 0 {
		t.Errorf("checked %+v", r.Check)
	}
	if len(r.Flushes) == 0 || r.Flushes[0].Count == 0 || r.Flushes[0].P99 == 0 || r.MaxPending == 0 || r.CPU == 0 || len(r.Samples) < 3 || r.Samples[1].RSS == 0 {
		t.Errorf("got %+v", r)
	}
	if !strings.Contains(stderr, "0 failed") {
		t.Errorf("said %s", stderr)
	}
	var text bytes.Buffer
	if err := r.write(&text); err != nil || !strings.Contains(text.String(), "all of "+strings.Fields(r.Check.String())[4]) {
		t.Errorf("%v: %s", err, &text)
	}
}

// TestSiegeOfServers drives a collector on real servers for a moment, and names
// the steps of its flushes.
func TestSiegeOfServers(t *testing.T) {
	t.Parallel()
	servertest.NeedAWS(t)
	code, stdout, stderr := driveBuilt(t, "-store", "aws", "-json", "-tenants", "2", "-every", "500ms", "-duration", "2s", "-questions", "4",
		"-sample", "300ms", "-progress", "500ms", "--", "--tick", "200ms", "--window", "1s")
	if code != 0 {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	var r Siege
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Flushes) < 2 || r.Posts.Count == 0 || r.Check.Posts != r.Posts.Count || len(r.Check.Faults) != 0 {
		t.Errorf("got %+v", r)
	}
}

// TestVisit drives a real collector with tenants that post once.
func TestVisit(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := driveBuilt(t, "-once", "60", "-rate", "200", "-settle", "1m", "-sample", "100ms", "-progress", "200ms",
		"--", "--tick", "200ms", "--window", "400ms")
	if code != 0 || !strings.Contains(stdout, "60 tenants, each heard of once") || !strings.Contains(stderr, "after the last post") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
}

// TestWrongUsage checks the messages about wrong flags, and that help is no failure.
func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]struct {
		code int
		args []string
	}{
		"Usage: load":               {0, []string{"-h"}},
		"above 0":                   {2, []string{"-tenants", "0"}},
		"must be above 0":           {2, []string{"-rate", "0"}},
		"must not be negative":      {2, []string{"-verify", "-1"}},
		"no collector to start":     {2, []string{"-url", "127.0.0.1:1", "--", "--tick", "1s"}},
		"must be directory, aws":    {2, []string{"-store", "tape"}},
		"leave out -store":          {2, []string{"-url", "127.0.0.1:1", "-store", "aws"}},
		"is not for -once":          {2, []string{"-kills", "1", "-once", "1"}},
		"needs -store aws":          {2, []string{"-outage", "1m"}},
		"shorter than -duration":    {2, []string{"-store", "aws", "-outage", "1m", "-duration", "1m"}},
		"not defined: -x":           {2, []string{"-x"}},
		"connection refused":        {1, []string{"-url", "127.0.0.1:1"}},
		"flag provided but not def": {1, []string{"-collector", servertest.Built(t, commandPackage), "--", "--no-such-flag"}},
		"no such file":              {1, []string{"-collector", "/no/such/program"}},
		"holds no files":            {1, []string{"-url", "127.0.0.1:1", "-reports", t.TempDir()}},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			if code, _, stderr := drive(t, c.args...); code != c.code || !strings.Contains(stderr, want) {
				t.Errorf("exit %d, said %q", code, stderr)
			}
		})
	}
}

// TestLoss checks that the command fails when a collector loses or refuses posts.
func TestLoss(t *testing.T) {
	t.Parallel()
	empty, err := wire.AppendMsgpack(nil, report.New())
	if err != nil {
		t.Fatal(err)
	}
	for want, post := range map[string]int{"posts are lost": 200, "posts failed": 503} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				switch {
				case r.Method == http.MethodPost:
					w.WriteHeader(post)
				case r.URL.Path == "/api/report":
					_, _ = w.Write(empty)
				}
			}))
			defer server.Close()
			code, stdout, stderr := drive(t, "-url", server.URL+"/", "-tenants", "2", "-every", "200ms", "-duration", "500ms")
			if code != 1 || !strings.Contains(stderr, want) || !strings.Contains(stdout, "POST") {
				t.Errorf("exit %d: %s%s", code, stdout, stderr)
			}
		})
	}
}

// TestNodesDiffer checks that the reports of a tenant's nodes share no host and no container, and are as large as the captured one.
func TestNodesDiffer(t *testing.T) {
	t.Parallel()
	captured, err := filepath.Glob(filepath.Join(corpus, "k8s-node", "*.msgpack.gz"))
	if err != nil || len(captured) == 0 {
		t.Fatalf("%d captured reports, %v", len(captured), err)
	}
	dir := t.TempDir() // with one report, because loading each takes seconds
	file, err := os.ReadFile(captured[0])
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, filepath.Base(captured[0])), file, 0o600)); err != nil {
		t.Fatal(err)
	}
	bodies, err := loadBodies(dir, 3)
	if err != nil || len(bodies) != 3 {
		t.Fatalf("%d nodes, %v", len(bodies), err)
	}
	seen := map[string]int{}
	for node, own := range bodies {
		head, rest, err := own[0].post("t;0")
		if err != nil {
			t.Fatal(err)
		}
		r, err := wire.Codec{}.Decode(append(head, rest...))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(r.Topologies[report.Container].Nodes); n < 60 {
			t.Errorf("node %d has %d containers", node, n)
		}
		for _, k := range []report.Kind{report.Host, report.Container, report.Pod} {
			for _, n := range r.Topologies[k].Nodes {
				if other, ok := seen[n.ID]; ok {
					t.Errorf("nodes %d and %d both have %s", other, node, n.ID)
				}
				seen[n.ID] = node
			}
		}
		if size, captured := len(rest), len(bodies[0][0].rest); size < captured*8/10 || size > captured*12/10 {
			t.Errorf("node %d: %d bytes, the captured report has %d", node, size, captured)
		}
	}
}
