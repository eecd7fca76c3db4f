package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/merged"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report"
)

func TestRollupUsage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ args, want string }{
		"a shared table":      {"rollup --index dynamodb://h/tab --blobs s3://h/b", "needs --rollup-shared"},
		"a shared directory":  {"rollup --data d --rollup-shared", "a directory has one writer"},
		"backwards":           {"rollup --data d --start 2 --end 1", "--end is before --start"},
		"odd spans":           {"rollup --data d --rollup-spans 1m,90s", "multiple of the one before, 1m"},
		"arguments":           {"rollup --data d x", `"x" is no flag`},
		"a mode":              {"serve --rollup some", "asked, all or off"},
		"cores":               {"serve --rollup-cores 0", "at least 1"},
		"a mode on a table":   {"serve --rollup all --index dynamodb://h/tab --blobs s3://h/b", "needs --rollup-shared"},
		"kept, but not built": {"serve --retention raw=7d,1m=30d --index dynamodb://h/tab --blobs s3://h/b", "give --rollup-shared"},
		"kept, built by none": {"serve --retention raw=7d,1m=30d --rollup off", "--rollup must not be off"},
		"another level":       {"serve --retention raw=7d,5m=30d", "no roll-ups have spans of 5m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkUsage(t, collect(t, strings.Fields(c.args)...), c.want)
		})
	}
}

// everyMinutes writes a report for every ten seconds of so many minutes of yesterday, and returns their directory.
func everyMinutes(t *testing.T, minutes int) (dir string, begin time.Time) {
	t.Helper()
	return minutesOf(t, minutes, 24*time.Hour)
}

// minutesOf writes such reports of minutes of another age.
func minutesOf(t *testing.T, minutes int, age time.Duration) (dir string, begin time.Time) {
	t.Helper()
	dir, begin = t.TempDir(), time.Now().Truncate(time.Hour).Add(-age)
	for i := range 6 * minutes {
		at := begin.Add(time.Duration(i) * 10 * time.Second)
		write(t, filepath.Join(dir, fmt.Sprintf("%d.json", at.UnixNano())), sample(fmt.Sprint("host-", i%7), i%5))
	}
	return dir, begin
}

// withoutID ignores the ID of an answer, which tells how it was merged.
func withoutID(path []string) bool { return len(path) == 1 && path[0] == "ID" }

// checkRollup builds the roll-ups of a store, verifies them, and compares answers before and after.
func checkRollup(t *testing.T, store ...string) {
	t.Helper()
	dir, begin := everyMinutes(t, 130)
	must(t, append([]string{"import", "--tenant", "a", dir}, store...)...)
	ask := func(from, to time.Duration) string {
		return must(t, append([]string{"query", "--json", "--tenant", "a", "--start", fmt.Sprint(begin.Add(from).UnixNano()),
			"--end", fmt.Sprint(begin.Add(to).UnixNano())}, store...)...)
	}
	before := ask(13*time.Second, 125*time.Minute)
	build := append([]string{"rollup", "--rollup-spans", "1m,1h", "--tenant", "a"}, store...)
	if said := must(t, build...); !strings.Contains(said, "133 roll-ups built") {
		t.Errorf("said %s", said)
	}
	goldentest.Equal(t, []byte(ask(13*time.Second, 125*time.Minute)), []byte(before), withoutID)
	if said := must(t, append(build, "--verify")...); !strings.Contains(said, "0 roll-ups built and 133 roll-ups verified") {
		t.Errorf("again: said %s", said)
	}
	late := filepath.Join(t.TempDir(), fmt.Sprintf("%d.json", begin.Add(time.Minute+5*time.Second).UnixNano()))
	must(t, append([]string{"import", "--tenant", "a", write(t, late, sample("late", 1))}, store...)...)
	if said := ask(0, 2*time.Minute); !strings.Contains(said, "late") {
		t.Error("a late report is not in an answer over rolled-up minutes")
	}
}

func TestRollupOfDirectory(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	checkRollup(t, "--data", data)
	if said := must(t, "check", data); !strings.Contains(said, "781 values can be read; 0 blobs without a value; 133 roll-ups") {
		t.Errorf("check said %s", said)
	}
}

// TestRollUpsThatOutliveReports verifies a store whose roll-ups outlive the reports in them.
func TestRollUpsThatOutliveReports(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	dir, _ := everyMinutes(t, 3)
	must(t, "import", "--data", data, "--tenant", "a", dir)
	must(t, "rollup", "--data", data)
	for tries := 1; ; tries++ { // on a busy machine a builder needs longer to look
		keep(t, data, bucket.Retention{Keep: time.Hour}, bucket.Retention{Level: time.Minute, Keep: 1000 * time.Hour})
		if left := expire(t, data); left == 0 {
			break
		} else if tries == 30 {
			t.Fatalf("%d reports are left", left)
		}
	}
	if said := must(t, "rollup", "--data", data, "--verify"); !strings.Contains(said, "0 roll-ups built and 4 roll-ups verified") {
		t.Errorf("once the reports are gone, verify said %s", said)
	}
}

// expire removes the reports of a directory that are older than an hour, as its retention does, and
// returns how many are left.
func expire(t *testing.T, data string) (left int) {
	t.Helper()
	s, err := stores.OpenDirectory(data, &local.Options{Retention: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for range s.Entries(t.Context(), "a", 0, math.MaxInt64) {
		left++
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return left
}

// pass lets a builder look once, so that it also lets reports go.
func pass(t *testing.T, past *bucket.Quantizer[*report.Report]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := past.Build(ctx); err != nil {
		t.Error(err)
	}
}

// keep sets the retention of a directory's levels.
func keep(t *testing.T, data string, retention ...bucket.Retention) {
	t.Helper()
	s, err := stores.OpenDirectory(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	values, past, err := merged.Past(s, &bucket.LevelOptions{Owned: true, Retention: retention})
	if err != nil {
		t.Fatal(err)
	}
	pass(t, past)
	if err := errors.Join(values.Close(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
}

// TestRollupNeedsAStore checks that the command makes no store.
func TestRollupNeedsAStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	if r := collect(t, "rollup", "--data", dir); r.code != 1 {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a store was made")
	}
}

// TestRollupOfTable checks that nothing is built on a table before all of its writers know of roll-ups.
func TestRollupOfTable(t *testing.T) {
	t.Parallel()
	idx, blobs := newTable(t, servertest.SharedDynamoDBLocal), newBucket(t)
	dir, _ := everyMinutes(t, 2)
	must(t, "import", "--create", "--index", idx, "--blobs", blobs, dir)
	r := collect(t, "rollup", "--rollup-shared", "--index", idx, "--blobs", blobs)
	if r.code != 1 || !strings.Contains(r.stderr, "builders start at") {
		t.Errorf("exit code %d, said %s%s", r.code, r.stdout, r.stderr)
	}
}

// TestRollupOfOtherSpans checks that other spans are refused once, and not once for each tenant.
func TestRollupOfOtherSpans(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	dir, _ := everyMinutes(t, 1)
	for _, tenant := range []string{"a", "b", "c"} {
		must(t, "import", "--data", data, "--tenant", tenant, dir)
	}
	must(t, "rollup", "--data", data, "--rollup-spans", "1m,1h")
	for _, args := range []string{"--rollup-spans 5m", "--rollup-lateness 1h --rollup-spans 1m,1h", "--verify"} {
		r := collect(t, append([]string{"rollup", "--data", data}, strings.Fields(args)...)...)
		const want = "the store has roll-ups of other spans: give --rollup-spans 1m,1h --rollup-lateness 10m0s"
		if r.code != 1 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: exit code %d, said %s%s; want one line with %q", args, r.code, r.stdout, r.stderr, want)
		}
	}
}

// TestReportsWaitForRollUps opens a directory whose reports are past their retention, and not
// rolled up. A collector that is set to keep minutes longer rolls them up before they go,
// also for a tenant that nobody asks about.
func TestReportsWaitForRollUps(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	dir, begin := everyMinutes(t, 130)
	must(t, "import", "--data", data, "--tenant", "a", dir)
	ask := []string{"query", "--json", "--data", data, "--tenant", "a", "--start", fmt.Sprint(begin.UnixNano()), "--end", fmt.Sprint(begin.Add(3 * time.Hour).UnixNano())}
	want := must(t, ask...)
	for range 2 { // at the second start, retention removes what is rolled up
		s := serveWithin(t, "--data", data, "--tenant-header", "X-Scope-OrgID", "--retention", "raw=1h,1m=1000h", "--rollup-spans", "1m,1h")
		eventually(t, func() bool {
			_, page := fetch(t, s.url+"/metrics")
			return strings.Contains(page, "scope_rollups_waiting{level=\"1m\"} 0")
		}, "roll-ups are not built")
		if code := s.stop(); code != 0 {
			t.Errorf("exit %d: %s", code, s.said())
		}
	}
	if left := expire(t, data); left > 0 {
		t.Errorf("%d reports are left", left)
	}
	goldentest.Equal(t, []byte(must(t, ask...)), []byte(want), withoutID)
}
