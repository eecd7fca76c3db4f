package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
)

// TestRetentionByLevelOnAWS has a collector and a query service on a table whose reports are gone, as TTL and
// lifecycle rules leave it. Whole minutes are answered; what cuts one is refused, or rounded.
func TestRetentionByLevelOnAWS(t *testing.T) {
	t.Parallel()
	idx, blobs := newTable(t, servertest.SharedDynamoDBLocal), newBucket(t)
	create(t, idx, blobs)
	place := idx + "," + blobs
	store := flags(place)
	dir, begin := minutesOf(t, 130, 72*time.Hour)
	must(t, append([]string{"import", "--tenant", "a", dir}, store...)...)
	level(t, place, 24*time.Hour, "a")
	asked := func(at []string, from, to time.Duration) []string {
		return append([]string{"query", "--json", "--tenant", "a", "--start", fmt.Sprint(begin.Add(from).UnixNano()), "--end", fmt.Sprint(begin.Add(to).UnixNano())}, at...)
	}
	want := must(t, asked(store, 7*time.Minute, 100*time.Minute)...)
	expireTo(t, place, "a", time.Now())

	common := append([]string{"--tenant-header", "X-Scope-OrgID", "--retention", "raw=1h,1m=1000h", "--rollup-shared", "--rollup-spans", "1m,1h"}, store...)
	collector := serveWithin(t, append(common, "--role", "collector")...)
	query := serveWithin(t, append(common, "--role", "query", "--collectors", strings.TrimPrefix(collector.url, "http://"))...)
	for name, url := range map[string]string{"collector": collector.url, "query service": query.url} {
		at := []string{"--from", url}
		goldentest.Equal(t, []byte(must(t, asked(at, 7*time.Minute, 100*time.Minute)...)), []byte(want), withoutID)
		nearest := fmt.Sprintf("ask from %s to %s", begin.Add(7*time.Minute).UTC().Format(time.RFC3339), begin.Add(100*time.Minute).UTC().Format(time.RFC3339))
		if r := collect(t, asked(at, 7*time.Minute+10*time.Second, 100*time.Minute-time.Second)...); r.code != 1 || !strings.Contains(r.stderr, nearest) {
			t.Errorf("%s: a range that cuts minutes: exit %d, said %s; want %q", name, r.code, r.stderr, nearest)
		}
		req := must1(http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%s/api/report?start=%d&end=%d&round=true", url,
			begin.Add(7*time.Minute+10*time.Second).Unix(), begin.Add(100*time.Minute-time.Second).Unix()), nil))
		req.Header.Set("X-Scope-OrgID", "a")
		resp := must1(http.DefaultClient.Do(req))
		resp.Body.Close()
		if got := resp.Header.Get("Timeblob-Range"); resp.StatusCode != http.StatusOK || !strings.HasPrefix(got, begin.Add(7*time.Minute).UTC().Format(time.DateOnly+"T"+time.TimeOnly)) ||
			!strings.Contains(got, "/"+begin.Add(100*time.Minute).UTC().Format(time.DateOnly+"T"+time.TimeOnly)) {
			t.Errorf("%s: rounded: %s, header %q", name, resp.Status, got)
		}
	}
	late := write(t, filepath.Join(t.TempDir(), fmt.Sprintf("%d.json", begin.Add(8*time.Minute+time.Second).UnixNano())), sample("late", 1))
	if r := collect(t, append([]string{"import", "--tenant", "a", late}, store...)...); r.code != 1 || !strings.Contains(r.stderr, "kept as one merge only") {
		t.Errorf("a report of a minute that has only its roll-up: exit %d, said %s%s", r.code, r.stdout, r.stderr)
	}
	erase := func(from, to time.Duration) result {
		return collect(t, append([]string{"delete", "--yes", "--wait", "0s", "--tenant", "a", "--start", fmt.Sprint(begin.Add(from).UnixNano()),
			"--end", fmt.Sprint(begin.Add(to).UnixNano())}, store...)...)
	}
	if r := erase(time.Minute, 2*time.Minute); r.code != 1 || !strings.Contains(r.stderr, "kept as one merge only") {
		t.Errorf("a deletion of a minute of an hour: exit %d, said %s", r.code, r.stderr)
	}
	if r := erase(0, time.Hour); r.code != 0 {
		t.Errorf("a deletion of an hour: exit %d, said %s", r.code, r.stderr)
	}
	if got := must(t, asked([]string{"--from", query.url}, 0, time.Hour)...); strings.Contains(got, "host-") {
		t.Error("a deleted hour is in an answer")
	}
}
