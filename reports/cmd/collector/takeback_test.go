package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// The commands and the collector read everything that they write. The windows of 25 reports add up to more
// than a day, and their packet counters exceed the largest number.
func TestMergesAreTakenBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	if err := os.Mkdir(in, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 25 {
		r := sample(fmt.Sprint("host-", i), 1)
		r.Window, r.Sampling.Total = time.Hour+time.Second, math.MaxUint64/2
		write(t, filepath.Join(in, fmt.Sprintf("%d.msgpack.gz", i)), r)
	}
	merged := filepath.Join(dir, "1700000000000000000.msgpack.gz")
	must(t, "merge", "-o", merged, in)

	// merge → push → GET, as msgpack and as JSON.
	s := serveWithin(t, append(embedded(t), "--window", "10m")...)
	must(t, "push", "--to", s.url, merged)
	wantSums(t, must(t, "query", "--json", "--from", s.url, "--at", "now"), 25)
	status, answer := fetch(t, s.url+"/api/report")
	if status != 200 {
		t.Fatalf("GET: %d: %s", status, answer)
	}

	// GET → push, to a collector that holds the merge already.
	got := filepath.Join(dir, "1700000000000000001.json")
	if err := os.WriteFile(got, []byte(answer), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "push", "--to", s.url, got)
	wantSums(t, must(t, "query", "--json", "--from", s.url, "--at", "now"), 50)

	// merge and GET → import → query → import.
	store := embedded(t)
	must(t, append([]string{"import"}, append(store, merged, got)...)...)
	all := append([]string{"query", "--json", "--start", "2023-11-14T00:00:00Z", "--end", "2023-11-15T00:00:00Z"}, store...)
	again := filepath.Join(dir, "1700000000000000002.json")
	if err := os.WriteFile(again, []byte(must(t, all...)), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, append([]string{"import"}, append(store, again)...)...)
	wantSums(t, must(t, all...), 100)
}

// wantSums checks that a report is the merge of n reports.
func wantSums(t *testing.T, text string, n int) {
	t.Helper()
	r, err := wire.DecodeJSON([]byte(strings.TrimSpace(text)))
	if err != nil {
		t.Fatal(err)
	}
	want := report.Sampling{Count: 7 * uint64(n), Total: math.MaxUint64}
	if r.Window != time.Duration(n)*(time.Hour+time.Second) || r.Sampling != want {
		t.Errorf("window %v, sampling %v, want those of %d reports", r.Window, r.Sampling, n)
	}
}
