package report_test

import (
	"testing"

	"github.com/timeblob/timeblob/reports/report"
)

func TestSizeCountsWhatIsThere(t *testing.T) {
	t.Parallel()
	r := report.New()
	empty := report.Size(r)
	r.Topologies[report.Host].Nodes = []*report.Node{{ID: "h", Latest: report.ValuesOf(report.Latest{Key: "k", Value: string(make([]byte, 1000))})}}
	if got := report.Size(r) - empty; got < 1000 || got > 1500 {
		t.Errorf("%d bytes for a node with a value of 1000", got)
	}
	if report.Size(nil) != 0 || empty <= 0 {
		t.Errorf("nil has %d, the empty report %d", report.Size(nil), empty)
	}
}
