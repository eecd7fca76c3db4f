package local

import (
	"errors"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/timeblob/timeblob/index"
)

// TestVersionOfCommits commits, and lets retention remove entries and expired places.
// Each changes the version of the rows.
func TestVersionOfCommits(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	db := openIn(t, "data", &Options{FS: vfs.NewMem(), Retention: 2 * time.Hour, Now: func() time.Time { return now }})
	look := versions(t, db)
	commit(t, db, "a", now.UnixNano(), 10)
	look("a commit")
	set := index.PlaceSet{Tenant: "a", Level: time.Minute}
	if ok, err := db.Index().SwapPlace(t.Context(), set, "", index.Place{Start: now.UnixNano(), ID: "p", Expires: now.Unix() + 1}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	look("a swap")
	now = now.Add(2 * time.Hour)
	if err := db.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	look("the end of a place")
	now = now.Add(2 * time.Hour)
	if err := db.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	look("the end of an entry")
}

// versions returns a function that fails when the version of tenant "a" is as it was at
// the last call.
func versions(t *testing.T, db *DB) (look func(after string)) {
	last, _ := db.Index().Version("a", 0, math.MaxInt64)
	return func(after string) {
		t.Helper()
		version, ok := db.Index().Version("a", 0, math.MaxInt64)
		if !ok || version == last {
			t.Errorf("after %s: version %d, %v, as before", after, version, ok)
		}
		last = version
	}
}

// TestVersionOfLostCommits loses commits with the engine's memory. There is no version
// while the store is stopped, and another one afterwards.
func TestVersionOfLostCommits(t *testing.T) {
	t.Parallel()
	db := openIn(t, "data", &Options{FS: vfs.NewCrashableMem(), NoLog: true, Logger: slog.New(slog.DiscardHandler)})
	db.pause = 0
	look := versions(t, db)
	commit(t, db, "a", 1, 10)
	look("a commit")
	db.engine.fuse.blow(errors.New("the disk fails"))
	if _, ok := db.Index().Version("a", 0, 2); ok {
		t.Error("a stopped store has a version")
	}
	if n := len(entriesOf(t, db, "a")); n != 0 {
		t.Fatalf("%d entries survive", n)
	}
	look("a loss")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := db.Index().Version("a", 0, 2); ok {
		t.Error("a closed store has a version")
	}
}
