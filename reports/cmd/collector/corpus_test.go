package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/files"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// anyID ignores the ID of a merge, which depends on the order of merging.
func anyID(path []string) bool { return slices.Equal(path, []string{"ID"}) }

// window is a golden window of the corpus.
type window struct {
	path   string
	end    time.Time
	length time.Duration
}

func windows(t *testing.T) []window {
	t.Helper()
	var all []window
	for _, path := range goldentest.Files(t, "golden/hosts/windows/*.json.gz") {
		end, seconds, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".json.gz"), "-")
		e, err := strconv.ParseInt(end, 10, 64)
		s, err2 := strconv.ParseInt(seconds, 10, 64)
		if err != nil || err2 != nil {
			t.Fatalf("%s is not named <end>-<seconds>", path)
		}
		all = append(all, window{path, time.Unix(0, e), time.Duration(s) * time.Second})
	}
	return all
}

// checkWindows asks for the golden windows with flags that name the store or collector.
func checkWindows(t *testing.T, whom ...string) {
	t.Helper()
	for _, w := range windows(t) {
		want := goldentest.Inflate(t, w.path)
		at := strconv.FormatInt(w.end.UnixNano(), 10)
		got := must(t, append([]string{"query", "--json", "--at", at, "--window", w.length.String()}, whom...)...)
		goldentest.Equal(t, []byte(got), want, anyID)
		start := w.end.Add(-w.length).UTC().Format(time.RFC3339Nano)
		got = must(t, append([]string{"query", "--json", "--start", start, "--end", at}, whom...)...)
		goldentest.Equal(t, []byte(got), want, anyID)
	}
}

func TestInspectShowsWhatScopeDecodes(t *testing.T) {
	t.Parallel()
	goldens := goldentest.Files(t, "golden/hosts/db-1/*.json.gz")
	args := []string{"inspect", "--json"}
	for _, g := range goldens {
		args = append(args, goldentest.Path("hosts", "db-1", strings.TrimSuffix(filepath.Base(g), ".json.gz")+".msgpack.gz"))
	}
	lines := strings.SplitAfter(must(t, args...), "\n")
	if len(lines) != len(goldens)+1 || lines[len(goldens)] != "" {
		t.Fatalf("%d lines for %d files", len(lines), len(goldens))
	}
	for i, g := range goldens {
		goldentest.Equal(t, []byte(lines[i]), goldentest.Inflate(t, g), nil)
	}
}

func TestInspectShowsOldReportsAsTheyAreAndUpgraded(t *testing.T) {
	t.Parallel()
	for _, path := range goldentest.Files(t, "legacy/*.msgpack.gz") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			stem := strings.TrimSuffix(path, ".msgpack.gz")
			decoded := must(t, "inspect", "--json", path)
			goldentest.Equal(t, []byte(decoded), goldentest.Inflate(t, stem+".decoded.json.gz"), stamps)
			upgraded := must(t, "inspect", "--json", "--upgrade", path)
			goldentest.Equal(t, []byte(upgraded), goldentest.Inflate(t, stem+".upgraded.json.gz"), stamps)
		})
	}
}

// stamps ignores the times that Scope takes from its clock while it upgrades.
func stamps(path []string) bool {
	n := len(path)
	return n > 2 && path[n-1] == "timestamp" && (path[0] == "Namespace" || strings.HasPrefix(path[n-2], "count_"))
}

// unlikeScope ignores what Scope's merges lack: Scope loses an address's DNS record when a later report has
// more names for it.
func unlikeScope(path []string) bool {
	return stamps(path) || slices.Equal(path, []string{"DNS", "127.0.0.1"})
}

func TestMergeIsWhatScopeMerges(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"hosts", "k8s-node"} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			want := goldentest.Inflate(t, goldentest.Path("golden", folder, "merged.json.gz"))
			got := must(t, "merge", "--json", goldentest.Path(folder))
			goldentest.Equal(t, []byte(got), want, unlikeScope) // the ID as well
		})
	}
}

func TestMergeWritesEveryForm(t *testing.T) {
	t.Parallel()
	folder := goldentest.Path("hosts", "api-1")
	want := must(t, "merge", "--json", folder)
	for _, ending := range files.Endings {
		out := filepath.Join(t.TempDir(), "merged"+ending)
		if said := must(t, "merge", "-o", out, folder); said != "" {
			t.Errorf("-o said %q", said)
		}
		if again := must(t, "inspect", "--json", out); again != want {
			t.Errorf("%s: reads back as something else", ending)
		}
	}
}

func TestImportedWindows(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "new", "data")
	said := must(t, "import", "--data", data, goldentest.Path("hosts"))
	if !strings.HasPrefix(said, "imported 60 reports: 60 stored") {
		t.Errorf("said %q", said)
	}
	checkWindows(t, "--data", data)
	before := must(t, "query", "--data", data, "--start", "0", "--end", "now", "--json")
	said = must(t, "import", "--data", data, goldentest.Path("hosts"))
	if !strings.HasPrefix(said, "imported 60 reports: 0 stored (0 B), 60 present") {
		t.Errorf("said %q", said)
	}
	if after := must(t, "query", "--data", data, "--start", "0", "--end", "now", "--json"); after != before {
		t.Error("importing again changed the answer")
	}
}

func TestTenantsAreApart(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	db, web := goldentest.Path("hosts", "db-1"), goldentest.Path("hosts", "web-1")
	must(t, "import", "--data", data, "--tenant", "a", db)
	must(t, "import", "--data", data, "--tenant", "b", web)
	ask := func(tenant string) string {
		return must(t, "query", "--data", data, "--tenant", tenant, "--start", "0", "--end", "now", "--json")
	}
	goldentest.Equal(t, []byte(ask("a")), []byte(must(t, "merge", "--json", db)), anyID)
	goldentest.Equal(t, []byte(ask("b")), []byte(must(t, "merge", "--json", web)), anyID)
	empty, err := wire.AppendJSON(nil, report.New())
	if err != nil {
		t.Fatal(err)
	}
	goldentest.Equal(t, []byte(ask("")), empty, anyID)
}

func TestTables(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "1700000000000000000.msgpack"), sample("one", 3))
	write(t, filepath.Join(dir, "1700000003000000000.json"), sample("two", 2))
	data := filepath.Join(t.TempDir(), "data")
	must(t, "import", "--data", data, dir)
	for name, args := range map[string][]string{
		"inspect.golden": {"inspect", dir},
		"merge.golden":   {"merge", dir},
		"query.golden":   {"query", "--data", data, "--at", "1700000004", "--window", "5s"},
		"nothing.golden": {"query", "--data", data, "--at", "1600000004", "--tenant", "x"},
	} {
		t.Run(name, func(t *testing.T) { // one by one, because two of them open the same directory
			got := strings.ReplaceAll(must(t, args...), dir, "DIR")
			golden(t, name, inMemory.ReplaceAllString(got, ", N in memory"))
			for line := range strings.SplitSeq(got, "\n") {
				if n := len([]rune(line)); n > terminal.Columns {
					t.Errorf("a line of %d columns: %s", n, line)
				}
			}
		})
	}
}

// The table in the test data covers every report of the corpus.
func TestTablesFit(t *testing.T) {
	t.Parallel()
	for line := range strings.SplitSeq(must(t, "inspect", goldentest.Path("hosts"), goldentest.Path("k8s-node")), "\n") {
		if n := len([]rune(line)); n > terminal.Columns && !strings.Contains(line, "testdata") {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
}

func TestStandardInput(t *testing.T) {
	t.Parallel()
	want := must(t, "inspect", "--json", goldentest.Files(t, "k8s-node/*")[0])
	asSent := goldentest.Read(t, goldentest.Files(t, "k8s-node/*")[0])
	plain := goldentest.Inflate(t, goldentest.Files(t, "k8s-node/*")[0])
	for name, in := range map[string][]byte{
		"msgpack.gz": asSent, "msgpack": plain, "json": []byte(" \n" + want), "json.gz": zipped([]byte(want)),
	} {
		r := call{args: []string{"inspect", "--json", "-"}, stdin: bytes.NewReader(in)}.run(t.Context())
		if r.code != 0 || r.stdout != want {
			t.Errorf("%s: exit %d, %s", name, r.code, r.stderr)
		}
	}
}

func TestBadFilesAreNamedAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := write(t, filepath.Join(dir, "3.json"), sample("one", 1))
	bad := map[string]string{"1.msgpack.gz": "\x1f\x8bno", "2.json": `{"TS":`, "4.msgpack": "\xff"}
	for name, text := range bad {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := must(t, "inspect", "--json", good)
	for name, c := range map[string]struct {
		args   []string
		stdout string
	}{
		"inspect":            {[]string{"inspect", "--json", dir}, want},
		"merge":              {[]string{"merge", "--json", dir}, ""},
		"merge and keep on":  {[]string{"merge", "--json", "--keep-going", dir}, must(t, "merge", "--json", good)},
		"import":             {[]string{"import", "--data", filepath.Join(t.TempDir(), "data"), dir}, "imported 1 report: 1 stored"},
		"import without end": {[]string{"import", "--data", filepath.Join(t.TempDir(), "data"), dir, "x"}, "imported 1 report: 1 stored"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := collect(t, c.args...)
			if r.code != 1 || !strings.HasPrefix(r.stdout, c.stdout) || c.stdout == "" && r.stdout != "" {
				t.Errorf("exit %d, stdout %.200q, want %.200q", r.code, r.stdout, c.stdout)
			}
			lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
			for name := range bad {
				if n := strings.Count(r.stderr, filepath.Join(dir, name)+": "); n != 1 {
					t.Errorf("%s is named %d times in %q", name, n, r.stderr)
				}
			}
			if last := lines[len(lines)-1]; !strings.Contains(last, " failed") || strings.Contains(r.stderr, "\n\n") {
				t.Errorf("stderr %q", r.stderr)
			}
		})
	}
}

// A report must not be lost for an output that cannot be written.
func TestMergeLeavesTheOldFileOnFailure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "out.json")
	write(t, out, sample("old", 1))
	before := goldentest.Read(t, out)
	if r := collect(t, "merge", "-o", out, filepath.Join(dir, "missing.json"), out); r.code != 1 {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	if r := collect(t, "merge", "-o", filepath.Join(dir, "no", "such", "x.json"), out); r.code != 1 || !strings.Contains(r.stderr, "no such") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	if !bytes.Equal(goldentest.Read(t, out), before) {
		t.Error("the old file has changed")
	}
	must(t, "merge", "-o", out, out)
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) > 0 || !json.Valid(goldentest.Read(t, out)) {
		t.Errorf("left %q behind (%v)", left, err)
	}
}
