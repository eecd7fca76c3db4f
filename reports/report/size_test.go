package report_test

import (
	"path/filepath"
	"runtime"
	"testing"

	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report"
)

// held returns how many bytes of the heap are in use.
func held() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools hold goes with the second
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Not parallel: it watches the heap.
func TestSizeIsNearTheTruth(t *testing.T) {
	const copies = 20
	for _, pattern := range []string{"k8s-node/*.gz", "hosts/db-1/*.gz", "hosts/web-1/*.gz", "legacy/*.msgpack.gz"} {
		for _, file := range goldentest.Files(t, pattern)[:3] {
			blob := goldentest.Read(t, file)
			reports := make([]*report.Report, copies)
			before := held()
			for i := range reports {
				r, err := report.Codec{}.Decode(blob)
				if err != nil {
					t.Fatal(err)
				}
				reports[i] = r
			}
			truth := (held() - before) / copies
			got := report.Size(reports[0])
			if got > truth*3/2 || got < truth*2/3 {
				t.Errorf("%s: Size is %d, the heap grew by %d", filepath.Base(file), got, truth)
			}
			runtime.KeepAlive(reports)
		}
	}
}

func TestSizeCountsWhatIsThere(t *testing.T) {
	t.Parallel()
	r := report.New()
	empty := report.Size(r)
	r.Topologies[report.Host].Nodes = []*report.Node{{ID: "h", Latest: []report.Latest{{Key: "k", Value: string(make([]byte, 1000))}}}}
	if got := report.Size(r) - empty; got < 1000 || got > 1500 {
		t.Errorf("%d bytes for a node with a value of 1000", got)
	}
	if report.Size(nil) != 0 || empty <= 0 {
		t.Errorf("nil has %d, the empty report %d", report.Size(nil), empty)
	}
}
