package main

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/files"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
)

func TestImportFindsRoomForReportsOfOneInstant(t *testing.T) {
	t.Parallel()
	dir, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	// The last two instants are on both sides of an hour's end.
	const hour = 472222 * int64(time.Hour)
	for i, name := range []string{"a/5.json", "b/5.msgpack", "c/5.msgpack.gz", "d/6.json", "e/7.json",
		fmt.Sprintf("f/%d.json", hour-1), fmt.Sprintf("g/%d.json", hour-1)} {
		path := filepath.Join(t.TempDir(), name)
		path = write(t, path, sample(fmt.Sprint("host-", i), i))
		must(t, "import", "--data", data, path)
		must(t, "import", "--data", data, path)
		write(t, filepath.Join(dir, fmt.Sprintf("%d.json", i)), sample(fmt.Sprint("host-", i), i))
	}
	got := must(t, "query", "--json", "--data", data, "--start", "0", "--end", "now")
	goldentest.Equal(t, []byte(got), []byte(must(t, "merge", "--json", dir)), anyID)
	for start, want := range map[int64]string{0: "5 stored values", hour - 1: "1 stored value\n", hour: "1 stored value\n"} {
		from, to := time.Unix(0, start), time.Unix(0, start+10)
		if start == hour-1 {
			to = time.Unix(0, hour)
		}
		said := must(t, "query", "--data", data, "--start", human.Time(from), "--end", human.Time(to))
		if !strings.Contains(said, want) {
			t.Errorf("from %d: no %q in %s", start, want, said)
		}
	}
}

// The same report in another form is the same report.
func TestImportComparesMeaning(t *testing.T) {
	t.Parallel()
	dir, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	must(t, "import", "--data", data, write(t, filepath.Join(dir, "5.json"), sample("one", 1)))
	said := must(t, "import", "--data", data, write(t, filepath.Join(dir, "5.msgpack"), sample("one", 1)))
	if !strings.HasPrefix(said, "imported 1 report: 0 stored (0 B), 1 present") {
		t.Errorf("said %q", said)
	}
}

func TestImportSkipsShortcuts(t *testing.T) {
	t.Parallel()
	dir, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	short := sample("one", 1)
	short.Shortcut = true
	write(t, filepath.Join(dir, "5.json"), short)
	write(t, filepath.Join(dir, "6.json"), sample("two", 1))
	said := must(t, "import", "--data", data, dir)
	if !strings.HasPrefix(said, "imported 1 report: 1 stored") || !strings.Contains(said, "1 shortcut skipped") {
		t.Errorf("said %q", said)
	}
}

// Retention removes entries before their blobs: importing such a report again
// finds its blob.
func TestImportGivesABlobItsEntryBack(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	r := sample("one", 1)
	s, err := stores.OpenDirectory(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := files.Encode(r, ".msgpack.gz")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Authority.Put(t.Context(), index.RowAt("", 5).BlobKey(5), blob); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	said := must(t, "import", "--data", data, write(t, filepath.Join(t.TempDir(), "5.json"), r))
	if !strings.Contains(said, "1 present") {
		t.Errorf("said %q", said)
	}
	if said := must(t, "query", "--data", data, "--at", "1"); !strings.Contains(said, "1 stored value\n") {
		t.Errorf("said %s", said)
	}
	must(t, "import", "--data", data, write(t, filepath.Join(t.TempDir(), "6.json"), r))
	s = must1(stores.OpenDirectory(data, nil))
	defer s.Close()
	for e, err := range s.Entries(t.Context(), "", 0, 10) {
		found, _ := s.Authority.Get(t.Context(), []string{e.Key})
		if err != nil || !e.Sum.Known() || stores.Check(e, found[0]) != nil || e.Size != int64(len(found[0])) {
			t.Errorf("the entry %+v (%v) does not have the sum and size of its blob", e, err)
		}
	}
}

func TestADirectoryIsHeldByOneProcess(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	serveWithin(t, "--data", data)
	path := write(t, filepath.Join(t.TempDir(), "5.json"), sample("one", 1))
	for _, args := range [][]string{{"import", path}, {"query", "--at", "now"}, {"serve", "--listen", "127.0.0.1:0"}} {
		r := collect(t, append(args, "--data", data)...)
		if r.code != 1 || !strings.Contains(r.stderr, "holds it") || strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
			t.Errorf("%s: exit %d, %q, %q", args[0], r.code, r.stdout, r.stderr)
		}
	}
}

// A user who names a directory that a collector uses is told what to do instead.
func TestAHeldDirectoryIsExplained(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	serveAsProcess(t, "--data", data)
	path := write(t, filepath.Join(t.TempDir(), "5.json"), sample("one", 1))
	for want, args := range map[string][]string{
		"ask it with --from URL in place of --data, or stop it":           {"query", "--at", "now", "--data", data},
		`post the files to it with "collector push --to URL", or stop it`: {"import", path, "--data", data},
		"if that is a collector, stop it":                                 {"copy", "--from", data, "--to", t.TempDir()},
		"stop it, or give --data another directory":                       {"serve", "--data", data},
	} {
		r := collect(t, args...)
		if line := "another process uses it"; r.code != 1 || !strings.Contains(r.stderr, line) || !strings.HasSuffix(r.stderr, want+"\n") ||
			strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
			t.Errorf("%s: exit %d, said %q, %q, want %q", args[0], r.code, r.stdout, r.stderr, want)
		}
	}
}

// TestImportAtTheEnd imports at the last instants of int64. The last instant is refused, because no range
// contains it.
func TestImportAtTheEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := []string{"--data", filepath.Join(dir, "data")}
	late := write(t, filepath.Join(dir, fmt.Sprintf("a/%d.json", int64(math.MaxInt64-1))), sample("one", 1))
	other := write(t, filepath.Join(dir, fmt.Sprintf("b/%d.json", int64(math.MaxInt64-1))), sample("two", 1))
	last := write(t, filepath.Join(dir, fmt.Sprintf("c/%d.json", int64(math.MaxInt64))), sample("three", 1))
	for range 2 {
		must(t, append([]string{"import", late}, store...)...)
	}
	if r := collect(t, append([]string{"import", other}, store...)...); r.code != 1 || !strings.Contains(r.stderr, "taken by other reports") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	if r := collect(t, append([]string{"import", last}, store...)...); r.code != 1 || !strings.Contains(r.stderr, "which no range reaches") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	said := must(t, append([]string{"query", "--start", "0", "--end", "2262-04-11T23:47:16.854775807Z"}, store...)...)
	if !strings.Contains(said, "1 stored value\n") {
		t.Errorf("found %s", said)
	}
}
