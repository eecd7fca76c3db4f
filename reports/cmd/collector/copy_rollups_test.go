package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/merged"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/tiered"
)

// oneHour keeps reports for an hour, and minutes and hours much longer.
var oneHour = []bucket.Retention{{Keep: time.Hour}, {Level: time.Minute, Keep: 1000 * time.Hour}}

// openStore opens a store as the command does.
func openStore(t *testing.T, place string) *stores.Store {
	t.Helper()
	pl := must1(stores.Parse("--to", place))
	return must1(pl.Open(t.Context(), stores.Options{Logger: telemetry.Warnings(t.Output())}))
}

// level builds tenants' roll-ups, and then gives the store a retention by level, as if it had had its settings
// of levels for long.
func level(t *testing.T, place string, grace time.Duration, tenants ...string) {
	t.Helper()
	s := openStore(t, place)
	for _, retention := range [][]bucket.Retention{nil, oneHour} {
		o := &bucket.LevelOptions{Owned: true, Spans: []time.Duration{time.Minute, time.Hour}, Retention: retention, Grace: grace}
		if strings.Contains(place, "://") {
			o.Skew, o.Linger = 10*time.Second, 5*time.Minute
		}
		values, past, err := merged.Past(s, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, tenant := range append(tenants, "nobody") {
			if _, err := past.RollUp(t.Context(), tenant, time.Now().Add(-100*time.Hour), time.Now(), nil); err != nil {
				t.Error(err)
			}
		}
		if retention != nil {
			pass(t, past)
		}
		if err := values.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// expireTo removes a tenant's reports before an instant, as TTL and lifecycle rules do.
func expireTo(t *testing.T, place, tenant string, before time.Time) {
	t.Helper()
	s := openStore(t, place)
	ctx := index.Holding(t.Context())
	for e, err := range s.Entries(ctx, tenant, 0, before.UnixNano()) {
		if err == nil {
			err = errors.Join(s.Index.(index.Deleter).Delete(ctx, index.RowAt(tenant, e.Time), []index.Entry{e}),
				s.Authority.(tiered.Deleter).Delete(ctx, []string{e.Key}))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// flags returns the flags that name a place.
func flags(place string) []string {
	if idx, blobs, ok := strings.Cut(place, ",s3://"); ok {
		return []string{"--index", idx, "--blobs", "s3://" + blobs}
	}
	return []string{"--data", place}
}

// coarse asks about whole minutes and hours.
func coarse(t *testing.T, place string, begin time.Time) (answers []string) {
	t.Helper()
	for _, tenant := range []string{"a", "gone"} {
		for _, r := range [][2]time.Duration{{0, 2 * time.Hour}, {0, 3 * time.Hour}, {time.Hour, 2 * time.Hour}, {7 * time.Minute, 100 * time.Minute}, {65 * time.Minute, 80 * time.Minute}} {
			answers = append(answers, must(t, append([]string{"query", "--json", "--tenant", tenant, "--start", fmt.Sprint(begin.Add(r[0]).UnixNano()),
				"--end", fmt.Sprint(begin.Add(r[1]).UnixNano())}, flags(place)...)...))
		}
	}
	return answers
}

// aged imports the reports of 130 minutes of yesterday for two tenants, rolls them up and
// removes the first 70 minutes of one and all of the other.
func aged(t *testing.T, place string) (begin time.Time) {
	t.Helper()
	dir, begin := minutesOf(t, 130, 72*time.Hour)
	for _, tenant := range []string{"a", "gone"} {
		must(t, append([]string{"import", "--tenant", tenant, dir}, flags(place)...)...)
	}
	level(t, place, 0, "a", "gone")
	expireTo(t, place, "a", begin.Add(70*time.Minute))
	expireTo(t, place, "gone", time.Now())
	return begin
}

// TestCopyTakesRollUps copies roll-ups between directories. The copies answer
// as the source does, a copy of a copy too. A copy is interrupted and repeated.
func TestCopyTakesRollUps(t *testing.T) {
	t.Parallel()
	places := []string{filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two"), filepath.Join(t.TempDir(), "three")}
	begin := aged(t, places[0])
	want := coarse(t, places[0], begin)
	for i, to := range places[1:] {
		from := places[i]
		said := must(t, "copy", "--from", from, "--to", to)
		if !strings.Contains(said, "copied 266 roll-ups (") {
			t.Errorf("copy %d said %s", i, said)
		}
		for n, got := range coarse(t, to, begin) {
			goldentest.Equal(t, []byte(got), []byte(want[n]), nil)
		}
		if said := must(t, "copy", "--from", from, "--to", to); !strings.Contains(said, "copied 0 roll-ups (0 B), 266 present") {
			t.Errorf("copy %d again said %s", i, said)
		}
		r := collect(t, append([]string{"query", "--json", "--tenant", "a", "--start", fmt.Sprint(begin.Add(30 * time.Second).UnixNano()),
			"--end", fmt.Sprint(begin.Add(time.Hour).UnixNano())}, flags(to)...)...)
		if r.code != 1 || !strings.Contains(r.stderr, "is kept in longer spans only") {
			t.Errorf("copy %d, a range that cuts a minute: exit %d, %s", i, r.code, r.stderr)
		}
	}
	if said := must(t, "rollup", "--data", places[2], "--rollup-spans", "1m,1h", "--verify"); !strings.Contains(said, "0 roll-ups built and 266 roll-ups verified, of 2 tenants") {
		t.Errorf("verify said %s", said)
	}
}

// TestCopyOfRollUpsToANewTable copies to a table on which nobody knows roll-ups yet.
func TestCopyOfRollUpsToANewTable(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	begin := aged(t, data)
	idx, blobs := newTable(t, servertest.SharedDynalite), newBucket(t)
	to := idx + "," + blobs
	r := collect(t, "copy", "--from", data, "--to", to, "--create")
	if r.code != 1 || !strings.Contains(r.stderr, "roll-ups of reports that retention may have removed not copied: give --rollup-shared") {
		t.Errorf("without --rollup-shared: exit %d, said %s%s", r.code, r.stdout, r.stderr)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r = call{args: []string{"copy", "--from", data, "--to", to, "--rollup-shared"}}.run(ctx)
	if !strings.Contains(r.stderr, "roll-ups are copied from ") || strings.Contains(r.stdout, "roll-up") {
		t.Errorf("at first: exit %d, said %s%s", r.code, r.stdout, r.stderr)
	}
	minutesLater(t, to)
	if said := must(t, "copy", "--from", data, "--to", to); !strings.Contains(said, "copied 266 roll-ups (") {
		t.Errorf("minutes later said %s", said)
	}
	want := coarse(t, data, begin)
	for n, got := range coarse(t, to, begin) {
		goldentest.Equal(t, []byte(got), []byte(want[n]), nil)
	}
}

// minutesLater changes the settings of a table as if they were older.
func minutesLater(t *testing.T, place string) {
	t.Helper()
	s := openStore(t, place)
	places := s.Index.(index.Places)
	found := must1(places.Places(t.Context(), index.SettingsSet, 0, math.MaxInt64))
	var settings map[string]any
	err := json.Unmarshal(found[0].State, &settings)
	settings["from"] = 1
	next := index.Place{ID: "later", State: must1(json.Marshal(settings))}
	if ok, err2 := places.SwapPlace(t.Context(), index.SettingsSet, found[0].ID, next); !ok || err2 != nil {
		t.Fatal(ok, err2)
	}
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
}
