package merged

import (
	"bytes"
	"errors"
	"testing"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/files"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// Merging many reports in groups gives the same result as merging all at once.
func TestMergeInSteps(t *testing.T) {
	t.Parallel()
	paths := goldentest.Files(t, "hosts/*/*.msgpack.gz")
	var parts []*report.Report
	s := &Sum{}
	for range 3 { // more than are folded at a time
		for _, path := range paths {
			l, err := files.Load(t.Context(), nil, path, wire.DefaultMaxBytes)
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, l.Report)
			if err := s.Add(l.Report); err != nil {
				t.Fatal(err)
			}
			if len(s.parts) >= foldReports {
				t.Fatalf("holds %d reports", len(s.parts))
			}
		}
	}
	got, err := s.Total()
	if err != nil {
		t.Fatal(err)
	}
	want, err := report.Merge(parts)
	if err != nil {
		t.Fatal(err)
	}
	a, errA := wire.AppendMsgpack(nil, got)
	b, errB := wire.AppendMsgpack(nil, want)
	if err := errors.Join(errA, errB); err != nil || !bytes.Equal(a, b) {
		t.Errorf("differs from the merge at once (%v)", err)
	}
}
