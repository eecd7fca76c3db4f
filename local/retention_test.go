package local

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/timeblob/timeblob/index"
)

// TestRetentionBoundary checks that an hour is removed once its end is as old as the
// retention, not a nanosecond sooner; its blobs are one hour later. Age-less
// blobs stay.
func TestRetentionBoundary(t *testing.T) {
	t.Parallel()
	const keep = 3 * hour
	for name, first := range map[string]int64{"1970": 0, "2026": 493_100 * hour, "1969": -hour, "1677": -2_562_046 * hour, "2262": 2_562_040 * hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			last := first + hour - 1
			for _, test := range []struct {
				now         time.Time
				entry, blob bool
			}{
				{at(last, keep), true, true},
				{at(last, keep+1), false, true},
				{at(last, keep+hour), false, true},
				{at(last, keep+hour+1), false, false},
				{at(last, keep+1000*hour), false, false},
			} {
				checkSwept(t, first, last, test.now, test.entry, test.blob)
			}
		})
	}
}

// at returns t + d without regard to the bounds of int64.
func at(t, d int64) time.Time { return time.Unix(0, t).Add(time.Duration(d)) }

// checkSwept stores the first and last instant of an hour and the first of the
// next, opens with a retention of 3 h at now, and checks what is left.
func checkSwept(t *testing.T, first, last int64, now time.Time, entry, blob bool) {
	t.Helper()
	mem := vfs.NewMem()
	db := openIn(t, "data", &Options{FS: mem})
	for _, at := range []int64{first, last, last + 1} {
		commit(t, db, "t", at, 100)
	}
	if err := db.Blobs().Put(t.Context(), "age-less", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openIn(t, "data", &Options{FS: mem, Retention: 3 * time.Hour, Now: func() time.Time { return now }})
	defer db.Close()
	for _, at := range []int64{first, last} {
		row, e, _ := sample("t", at, 0)
		checkEntry(t, db, row, e, entry)
		if got := blobOf(t, db, e.Key) != nil; got != blob {
			t.Errorf("at %v, blob of %d is there: %v, want %v", now, at, got, blob)
		}
	}
	if blobOf(t, db, "age-less") == nil {
		t.Error("the blob without age is gone")
	}
}

// TestRetentionKeepsTheRest checks that with none, all stays whatever the clock says; with
// the longest there is, too; other hours of other tenants stay.
func TestRetentionKeepsTheRest(t *testing.T) {
	t.Parallel()
	for _, keep := range []time.Duration{0, math.MaxInt64} {
		mem := vfs.NewMem()
		opts := &Options{FS: mem, Retention: keep, Now: func() time.Time { return time.Unix(1e9, 0) }}
		db := openIn(t, "data", opts)
		commit(t, db, "t", -200*365*24*hour, 10)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if db = openIn(t, "data", opts); len(entriesOf(t, db, "t")) != 1 {
			t.Errorf("retention %v removed an entry", keep)
		}
	}
}

// TestRetentionHourly lets time pass: entries go while the store is open, the
// disk's room comes back, and Close ends the goroutine.
func TestRetentionHourly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open("data", &Options{FS: vfs.NewMem(), Retention: 2 * time.Hour, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		start := time.Now().UnixNano()
		commit(t, db, "old", start, 4<<20)
		commit(t, db, "new", start+2*hour, 10)
		used := disk(t, db)
		time.Sleep(2*time.Hour + time.Minute)
		if n := len(entriesOf(t, db, "old")); n != 1 {
			t.Errorf("%d entries after 2 h, want 1", n)
		}
		time.Sleep(2 * time.Hour)
		if old, fresh := len(entriesOf(t, db, "old")), len(entriesOf(t, db, "new")); old != 0 || fresh != 1 {
			t.Errorf("%d old and %d new entries after 4 h, want 0 and 1", old, fresh)
		}
		if now := disk(t, db); now > used-3<<20 {
			t.Errorf("%d bytes on disk, %d before the removal", now, used)
		}
	})
}

func disk(t *testing.T, db *DB) uint64 {
	t.Helper()
	stats, err := db.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return stats.DiskBytes
}

// TestRetentionTells checks that rows are logged when they are removed for good, and not before.
func TestRetentionTells(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	db := openIn(t, "data", &Options{FS: mem})
	commit(t, db, "t", 0, 100)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, told := range []bool{true, false} {
		var log bytes.Buffer
		db := openIn(t, "data", &Options{FS: mem, Retention: time.Hour, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Now: func() time.Time { return time.Unix(1_700_000_000, 0) }})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), "retention removed the hours before"); got != told {
			t.Errorf("told %v, want %v: %s", got, told, log.String())
		}
	}
}

// TestRetentionOfPlaces lets places of two tenants expire. Each goes with its blob
// an hour later, and others stay.
func TestRetentionOfPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open("data", &Options{FS: vfs.NewMem(), Retention: 2 * time.Hour, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		const n = 200
		minute, now := int64(time.Minute), time.Now().Unix()
		for _, tenant := range []string{"a", "b"} {
			for i := range int64(n) {
				start := i * minute
				p := index.Place{Start: start, ID: "i", Expires: now + 60*i, State: fmt.Appendf(nil, `{"key":"rollup/60/%s%d"}`, tenant, i)}
				if i == 7 {
					p.Expires = 0
				}
				set := index.PlaceSet{Tenant: tenant, Level: time.Minute}
				if ok, err := db.Index().SwapPlace(t.Context(), set, "", p); !ok || err != nil {
					t.Fatal(ok, err)
				}
				if err := db.Blobs().Put(t.Context(), p.Blob(), []byte("roll-up")); err != nil {
					t.Fatal(err)
				}
			}
		}
		left := func() (places, blobs int) {
			for _, tenant := range []string{"a", "b"} {
				found, err := db.Index().Places(t.Context(), index.PlaceSet{Tenant: tenant, Level: time.Minute}, 0, n*minute)
				if err != nil {
					t.Fatal(err)
				}
				places += len(found)
				for i := range n {
					if blobOf(t, db, fmt.Sprintf("rollup/60/%s%d", tenant, i)) != nil {
						blobs++
					}
				}
			}
			return places, blobs
		}
		time.Sleep(90*time.Minute + time.Second)
		if places, blobs := left(); places != 2*(n-90) || blobs != 2*(n-1) { // the sweep after 1 hour
			t.Errorf("after 90 minutes %d places and %d blobs are left, want %d and %d", places, blobs, 2*(n-90), 2*(n-1))
		}
		time.Sleep(91 * time.Minute) // the sweep after 3 hours removes what expired within 2
		if places, blobs := left(); places != 2*(n-181) || blobs != 2*(n-120) {
			t.Errorf("after 3 hours %d places and %d blobs are left, want %d and %d", places, blobs, 2*(n-181), 2*(n-120))
		}
	})
}

// TestRetentionWaitsWhenTheClockIsSetAhead sets the clock a day ahead. If it is right again within an hour, nothing is removed. If it
// stays, retention follows it after an hour.
func TestRetentionWaitsWhenTheClockIsSetAhead(t *testing.T) {
	t.Parallel()
	for _, stays := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var ahead atomic.Int64
			now := func() time.Time { return time.Now().Round(0).Add(time.Duration(ahead.Load())) }
			db, err := Open("data", &Options{FS: vfs.NewMem(), Retention: 6 * time.Hour, Now: now, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			commit(t, db, "t", time.Now().UnixNano(), 100)
			time.Sleep(90 * time.Minute)
			ahead.Store(int64(24 * time.Hour))
			time.Sleep(time.Hour)
			if n := len(entriesOf(t, db, "t")); n != 1 {
				t.Errorf("%d entries soon after the clock was set, want 1", n)
			}
			want := 0
			if !stays {
				ahead.Store(0)
				want = 1
			}
			time.Sleep(2 * time.Hour)
			if n := len(entriesOf(t, db, "t")); n != want {
				t.Errorf("the clock stays: %v: %d entries, want %d", stays, n, want)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
