package httpapi

import (
	"bytes"
	"errors"
	"testing"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// TestPostsAreStoredAsTheyCame checks that the only report of a tick is stored as the
// probe compressed it, unless it holds what is not to be stored.
func TestPostsAreStoredAsTheyCame(t *testing.T) {
	t.Parallel()
	body := capturedReports(t, "k8s-node/*.msgpack.gz")[0].Body
	over := decode(t, body)
	twin := *over
	twin.ID += "'"
	another := encode(t, &twin)
	for name, c := range map[string]struct {
		limit   int // nodes of a topology
		bodies  [][]byte
		headers []string
		kept    bool
	}{
		"one report":         {0, [][]byte{body}, []string{mp, gz}, true},
		"two reports":        {0, [][]byte{body, another}, []string{mp, gz}, false},
		"one, posted twice":  {0, [][]byte{body, body}, []string{mp, gz}, true},
		"msgpack":            {0, [][]byte{msgpack(t, over)}, []string{mp}, false},
		"JSON":               {0, [][]byte{gzipped(t, asJSON(t, over))}, []string{js, gz}, false},
		"a topology to drop": {1000, [][]byte{body}, []string{mp, gz}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, func(o *reports.Options, _ *Options) { o.MaxTopologyNodes = c.limit })
			for _, b := range c.bodies {
				if w := f.serve("POST", "/api/report", b, c.headers...); w.Code != 200 {
					t.Fatalf("%d %s", w.Code, w.Body)
				}
			}
			live := f.live(t, "")
			if err := f.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			stored, err := f.Activity(t.Context(), "", noon.Add(-1))
			entries := stored.Stored
			if err != nil || len(entries) != 1 {
				t.Fatalf("%v, %v", entries, err)
			}
			blobs, err := f.authority.Get(t.Context(), []string{entries[0].Key})
			if err != nil || bytes.Equal(blobs[0], body) != c.kept {
				t.Errorf("kept: %v, %v", !c.kept, err)
			}
			equal(t, f.live(t, ""), live)
			if dropped := len(live.Topologies[report.Endpoint].Nodes) == 0; dropped != (c.limit > 0) {
				t.Errorf("dropped: %v", dropped)
			}
		})
	}
}

// TestAddBlob checks that a report in its blob is taken as one that is decoded, or
// refused for the same reasons.
func TestAddBlob(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	add := func(tenant string, blob []byte, limit int64) error {
		return f.AddBlob(t.Context(), tenant, blob, limit, reports.Origin{Probe: "probe-h1"})
	}
	unnamed := hosts("h1")
	unnamed.Topologies[report.Host].Nodes[0].ID = ""
	said := container("c1", "h1")
	said.Shortcut, said.TS = true, noon

	if _, ok := errors.AsType[*reports.BodyError](add("a", []byte("x"), 1<<20)); !ok {
		t.Error("no gzip is taken")
	}
	if _, ok := errors.AsType[*wire.TooLargeError](add("a", encode(t, hosts("h1")), 10)); !ok {
		t.Error("what inflates to too much is taken")
	}
	if _, ok := errors.AsType[*reports.InvalidError](add("a", encode(t, unnamed), 1<<20)); !ok {
		t.Error("a node without an ID is taken")
	}
	if _, ok := errors.AsType[*index.TenantError](add(">", encode(t, hosts("h1")), 1<<20)); !ok {
		t.Error("a tenant that is none is taken")
	}
	if n := len(f.Tenants()); n != 0 {
		t.Errorf("%d tenants of what was refused", n)
	}
	for _, r := range []*report.Report{said, hosts("h1"), hosts("h2")} {
		if err := add("a", encode(t, r), 1<<20); err != nil {
			t.Fatal(err)
		}
		if n := containers(f.live(t, "a")); (n == 1) != r.Shortcut {
			t.Errorf("%d containers after %s", n, r.ID)
		}
	}
	equal(t, f.live(t, "a"), merged(t, hosts("h1"), hosts("h2")))
	if n := counted(t, f.registry, "reports_received_total", "a"); n != 4 {
		t.Errorf("%v reports received, the refused one included", n)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := add("a", encode(t, hosts("h1")), 1<<20); !errors.Is(err, bucket.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
