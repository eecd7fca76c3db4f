package reports

import (
	"bytes"
	"testing"

	"github.com/timeblob/timeblob/reports/report"
)

// TestPostsAreStoredAsTheyCame holds: the only report of a tick is stored as the
// probe compressed it, unless it holds what is not to be stored.
func TestPostsAreStoredAsTheyCame(t *testing.T) {
	t.Parallel()
	body := capturedReports(t, "k8s-node/*.msgpack.gz")[0].body
	over := decode(t, body)
	for name, c := range map[string]struct {
		limit   int // nodes of a topology
		bodies  [][]byte
		headers []string
		kept    bool
	}{
		"one report":         {0, [][]byte{body}, []string{mp, gz}, true},
		"two reports":        {0, [][]byte{body, body}, []string{mp, gz}, false},
		"msgpack":            {0, [][]byte{msgpack(t, over)}, []string{mp}, false},
		"JSON":               {0, [][]byte{gzipped(t, asJSON(t, over))}, []string{js, gz}, false},
		"a topology to drop": {1000, [][]byte{body}, []string{mp, gz}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, func(o *Options, _ *HandlerOptions) { o.MaxTopologyNodes = c.limit })
			for _, b := range c.bodies {
				if w := f.serve("POST", "/api/report", b, c.headers...); w.Code != 200 {
					t.Fatalf("%d %s", w.Code, w.Body)
				}
			}
			live := f.live(t, "")
			if err := f.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			entries, err := f.Collector.live.Entries(t.Context(), "", noon.Add(-1), noon.Add(1))
			if err != nil || len(entries) != 1 {
				t.Fatalf("%v, %v", entries, err)
			}
			blobs, err := f.authority.Get(t.Context(), []string{entries[0].Key})
			if err != nil || bytes.Equal(blobs[entries[0].Key], body) != c.kept {
				t.Errorf("kept: %v, %v", !c.kept, err)
			}
			equal(t, f.live(t, ""), live)
			if dropped := len(live.Topologies[report.Endpoint].Nodes) == 0; dropped != (c.limit > 0) {
				t.Errorf("dropped: %v", dropped)
			}
		})
	}
}
