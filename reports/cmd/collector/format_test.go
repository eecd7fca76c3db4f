package main

import (
	"bytes"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
)

// blobsOf returns the blobs of a tenant's reports in a directory.
func blobsOf(t *testing.T, data, tenant string) [][]byte {
	t.Helper()
	return blobsIn(t, must1(stores.Parse("--from", data)), tenant)
}

// blobsIn returns the blobs of a tenant's reports in a store.
func blobsIn(t *testing.T, place *stores.Place, tenant string) (blobs [][]byte) {
	t.Helper()
	s, err := place.Open(t.Context(), stores.Options{Logger: telemetry.Warnings(&buffer{}), Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for e, err := range s.Entries(t.Context(), tenant, 0, math.MaxInt64) {
		if err != nil {
			t.Fatal(err)
		}
		found, err := s.Authority.Get(t.Context(), []string{e.Key})
		if err != nil {
			t.Fatal(err)
		}
		blobs = append(blobs, found[0])
	}
	return blobs
}

// inZstd counts the blobs that are in zstd.
func inZstd(blobs [][]byte) (n int) {
	for _, blob := range blobs {
		if bytes.HasPrefix(blob, []byte("\x28\xb5\x2f\xfd")) {
			n++
		}
	}
	return n
}

// TestImportInZstd imports reports in zstd, and reads them with commands that have no flag for it.
func TestImportInZstd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, copied, file := filepath.Join(dir, "data"), filepath.Join(dir, "copy"), filepath.Join(dir, "1.msgpack.gz")
	must(t, "import", "--data", data, "--blob-format", "zstd", goldentest.Path("hosts"))
	checkWindows(t, "--data", data)
	if again := must(t, "import", "--data", data, goldentest.Path("hosts")); !strings.HasPrefix(again, "imported 60 reports: 0 stored") {
		t.Errorf("in gzip again: said %q", again)
	}
	must(t, "copy", "--from", data, "--to", copied)
	checkWindows(t, "--data", copied)
	blobs := blobsOf(t, copied, "")
	if n := inZstd(blobs); n != 60 || n != len(blobs) {
		t.Errorf("%d of %d copied blobs are in zstd, want 60", n, len(blobs))
	}
	if said := must(t, "check", data); !strings.Contains(said, "60 values can be read") {
		t.Errorf("check said %s", said)
	}
	if err := os.WriteFile(file, blobs[0], 0o600); err != nil {
		t.Fatal(err)
	}
	want := must(t, "inspect", "--json", goldentest.Files(t, "hosts/*/*")[0])
	r := call{args: []string{"inspect", "--json", "-"}, stdin: bytes.NewReader(blobs[0])}.run(t.Context())
	for how, got := range map[string]string{"a file": must(t, "inspect", "--json", file), "standard input": r.stdout} {
		if len(got) != len(want) {
			t.Errorf("inspect of %s: %d bytes of JSON, want %d; %s", how, len(got), len(want), r.stderr)
		}
	}
}

// TestServeInZstd stores a merged report in zstd, beside one that is stored as it was posted, and one in gzip of
// another run. Each run answers about all.
func TestServeInZstd(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	since := time.Now().Add(-time.Second).UTC().Format(time.RFC3339Nano)
	files := goldentest.Files(t, "k8s-node/*.msgpack.gz")
	serve := func(format string, files ...string) {
		s := serveWithin(t, "--data", data, "--tick", "1h", "--window", "2h", "--blob-format", format)
		must(t, append([]string{"push", "--to", s.url}, files...)...)
		must(t, "query", "--json", "--from", s.url, "--start", since, "--end", "+1h")
		if code := s.stop(); code != 0 {
			t.Fatalf("%s: exit %d: %s", format, code, s.said())
		}
	}
	serve("zstd", files[:2]...)
	serve("zstd", files[2])
	serve("gzip", files[3:]...)
	if blobs := blobsOf(t, data, ""); len(blobs) != 3 || inZstd(blobs) != 1 {
		t.Errorf("%d of %d blobs are in zstd, want 1 of 3", inZstd(blobs), len(blobs))
	}
	ignore := func(path []string) bool { return anyID(path) || unlikeScope(path) }
	got := must(t, "query", "--json", "--data", data, "--start", since, "--end", "+1h")
	goldentest.Equal(t, []byte(got), goldentest.Inflate(t, goldentest.Path("golden", "k8s-node", "merged.json.gz")), ignore)
}

// TestZstdOnServers stores a merged report in zstd in a bucket and in memcached. A collector that writes gzip reads it
// from memcached, and from the bucket when memcached is gone.
func TestZstdOnServers(t *testing.T) {
	t.Parallel()
	address, server := servertest.Memcached(t)
	table, bucket := newTable(t, servertest.SharedDynalite), newBucket(t)
	store := append(create(t, table, bucket), "--cache", "memcached://"+address, "--tick", "1h", "--window", "2h", "--memory", "1B")
	files := goldentest.Files(t, "k8s-node/*.msgpack.gz")[:2]
	want := []byte(must(t, append([]string{"merge", "--json"}, files...)...))

	s := serveWithin(t, append(store, "--blob-format", "zstd")...)
	must(t, append([]string{"push", "--to", s.url}, files...)...)
	if code := s.stop(); code != 0 {
		t.Fatalf("exit %d: %s", code, s.said())
	}
	if blobs := blobsIn(t, must1(stores.Parse("--from", table+","+bucket)), ""); len(blobs) != 1 || inZstd(blobs) != 1 {
		t.Errorf("%d of %d blobs are in zstd, want 1 of 1", inZstd(blobs), len(blobs))
	}
	s = serveWithin(t, store...)
	ask := func() {
		t.Helper()
		goldentest.Equal(t, []byte(must(t, "query", "--json", "--from", s.url, "--start", "-1h", "--end", "+1h")), want, anyID)
	}
	ask()
	if !cacheHit.MatchString(metrics(t, s.url)) {
		t.Error("the blob in zstd was not read from memcached")
	}
	server.Kill()
	ask()
	http.DefaultClient.CloseIdleConnections()
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d: %s", code, s.said())
	}
}

// TestReplayInZstd kills collectors that have stored nothing yet. A replay stores the merge of what their journals hold
// in zstd.
func TestReplayInZstd(t *testing.T) {
	t.Parallel()
	table, bucket, kept := newTable(t, servertest.SharedDynalite), newBucket(t), t.TempDir()
	data, files := filepath.Join(t.TempDir(), "data"), goldentest.Files(t, "k8s-node/*.msgpack.gz")[:2]
	for place, store := range map[string][]string{data: {"--data", data}, table + "," + bucket: create(t, table, bucket)} {
		held := append(store, "--journal", filepath.Join(kept, store[0]))
		s := serveAsProcess(t, append(held, "--tick", "1h", "--window", "2h")...)
		must(t, append([]string{"push", "--to", s.url}, files...)...)
		s.kill()
		said := must(t, append([]string{"replay", "--blob-format", "zstd"}, held...)...)
		if blobs := blobsIn(t, must1(stores.Parse("--from", place)), ""); len(blobs) != 1 || inZstd(blobs) != 1 {
			t.Errorf("%s: %d of %d blobs are in zstd, want 1 of 1; said %s", store[0], inZstd(blobs), len(blobs), said)
		}
		got := must(t, append([]string{"query", "--json", "--start", "-1h", "--end", "+1h"}, store...)...)
		goldentest.Equal(t, []byte(got), []byte(must(t, append([]string{"merge", "--json"}, files...)...)), anyID)
	}
}

// TestRollUpsOfBothFormats verifies roll-ups that a run with another format has built.
func TestRollUpsOfBothFormats(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	dir, _ := everyMinutes(t, 3)
	must(t, "import", "--data", data, "--tenant", "a", dir)
	must(t, "rollup", "--data", data, "--tenant", "a", "--blob-format", "zstd")
	for _, format := range []string{"gzip", "zstd"} {
		said := must(t, "rollup", "--data", data, "--tenant", "a", "--blob-format", format, "--verify")
		if want := "0 roll-ups built and 4 roll-ups verified"; !strings.Contains(said, want) {
			t.Errorf("%s: said %s, want %s", format, said, want)
		}
	}
}

func TestFormatUsage(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"serve", "import", "replay", "rollup"} {
		checkUsage(t, collect(t, command, "--blob-format", "brotli"), "gzip or zstd")
	}
}
