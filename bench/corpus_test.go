package bench

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// blobs returns the captured reports that match a pattern, compressed.
func blobs(b testing.TB, pattern string) [][]byte {
	b.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "reports", "testdata", "corpus", pattern))
	if err != nil || len(paths) == 0 {
		b.Fatalf("no reports match %s: %v", pattern, err)
	}
	var all [][]byte
	for _, path := range paths {
		blob, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, blob)
	}
	return all
}

// decoded returns the same reports, decoded and upgraded.
func decoded(b testing.TB, pattern string) []*report.Report {
	b.Helper()
	var all []*report.Report
	for _, blob := range blobs(b, pattern) {
		r, err := wire.Codec{}.Decode(blob)
		if err == nil {
			r, err = report.Upgrade(r)
		}
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

const (
	node  = "k8s-node/*.msgpack.gz" // one large node
	hosts = "hosts/*/*.msgpack.gz"  // a minute of three small hosts
)
