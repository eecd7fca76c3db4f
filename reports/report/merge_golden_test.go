package report_test

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// requireGolden compares a report with Scope's JSON of it.
func requireGolden(t *testing.T, r *report.Report, golden string, ignore func(path []string) bool) {
	t.Helper()
	text, err := wire.AppendJSON(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	goldentest.Equal(t, text, goldentest.Inflate(t, golden), ignore)
}

// stampedNow tells whether Scope gave a value the time of its own clock: the
// names of the namespaces that it adds, and old counters.
func stampedNow(path []string) bool {
	return len(path) == 6 && path[5] == "timestamp" && (path[0] == "Namespace" || strings.HasPrefix(path[4], "count_"))
}

func TestMergeEqualsScopes(t *testing.T) {
	t.Parallel()
	for folder, pattern := range map[string]string{"hosts": "hosts/*/*.msgpack.gz", "k8s-node": "k8s-node/*.msgpack.gz"} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			lost := func(path []string) bool { return stampedNow(path) || folder == "hosts" && lostByScope(path) }
			requireGolden(t, merge(t, corpus(t, pattern)...), goldentest.Path("golden", folder, "merged.json.gz"), lost)
		})
	}
}

// lostByScope tells what Scope lost when it merged all reports of the hosts:
// it keeps the DNS record it has when the new one is a superset, so an address
// first seen without a name may stay without one, by the order of the reports.
func lostByScope(path []string) bool { return slices.Equal(path, []string{"DNS", "127.0.0.1"}) }

func TestMergeKeepsTheNameThatScopeLost(t *testing.T) {
	t.Parallel()
	want := report.DNSRecord{Address: "127.0.0.1", Reverse: []string{"localhost"}}
	dns := merge(t, corpus(t, "hosts/*/*.msgpack.gz")...).DNS
	if !slices.ContainsFunc(dns, func(r report.DNSRecord) bool { return cmp.Equal(r, want, cmpopts.EquateEmpty()) }) {
		t.Errorf("DNS is %v, want %v in it", dns, want)
	}
}

func TestMergeOfWindowsEqualsScopes(t *testing.T) {
	t.Parallel()
	files := goldentest.Files(t, "hosts/*/*.msgpack.gz")
	all := corpus(t, "hosts/*/*.msgpack.gz")
	for _, golden := range goldentest.Files(t, "golden/hosts/windows/*.json.gz") {
		t.Run(filepath.Base(golden), func(t *testing.T) {
			t.Parallel()
			end, length := window(t, golden)
			var parts []*report.Report
			for i, file := range files {
				if at := stampOf(t, file); end-length <= at && at < end {
					parts = append(parts, all[i])
				}
			}
			if len(parts) == 0 || len(parts) == len(all) {
				t.Fatalf("%d of %d reports are in the window", len(parts), len(all))
			}
			id := func(path []string) bool { return len(path) == 1 && path[0] == "ID" || stampedNow(path) }
			requireGolden(t, merge(t, parts...), golden, id)
		})
	}
}

// window returns the end and the length in the name of a golden window.
func window(t *testing.T, golden string) (end, length int64) {
	end = stampOf(t, golden)
	_, name, _ := strings.Cut(filepath.Base(golden), "-")
	seconds, err := strconv.ParseInt(strings.TrimSuffix(name, ".json.gz"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return end, seconds * int64(time.Second)
}

// stampOf returns the nanoseconds that a file name begins with.
func stampOf(t *testing.T, file string) int64 {
	t.Helper()
	digits := filepath.Base(file)
	digits = digits[:strings.IndexAny(digits, ".-")]
	at, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestUpgradeEqualsScopes(t *testing.T) {
	t.Parallel()
	for _, file := range goldentest.Files(t, "legacy/*.msgpack.gz") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			r, err := wire.DecodeMsgpack(goldentest.Inflate(t, file))
			if err != nil {
				t.Fatal(err)
			}
			up := upgrade(t, r)
			requireGolden(t, up, strings.TrimSuffix(file, ".msgpack.gz")+".upgraded.json.gz", stampedNow)
			if upgrade(t, up) != up {
				t.Error("the second upgrade did something")
			}
		})
	}
}

func TestSummaryEqualsScopes(t *testing.T) {
	t.Parallel()
	want := string(goldentest.Read(t, goldentest.Path("golden", "hosts", "summaries.tsv")))
	files := goldentest.Files(t, "hosts/*/*.msgpack.gz")
	var got strings.Builder
	for i, r := range corpus(t, "hosts/*/*.msgpack.gz") {
		got.WriteString(filepath.Base(files[i]) + "\t" + report.Summary(r) + "\n")
	}
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &got, want)
	}
}
