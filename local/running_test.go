package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// harms are what may happen to a file while a store is open.
var harms = map[string]func(name string) error{
	"removed": os.Remove,
	"emptied": func(name string) error { return os.Truncate(name, 0) },
	"cut": func(name string) error {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		return os.Truncate(name, info.Size()/2)
	},
	"flipped": func(name string) error {
		content, err := os.ReadFile(name)
		if err != nil || len(content) == 0 {
			return err
		}
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		at := int64(len(content) / 2)
		_, err = f.WriteAt([]byte{content[at] ^ 4}, at)
		return errors.Join(err, f.Close())
	},
}

// TestFilesHarmedWhileOpen harms a file of each kind while the store is open. No call
// panics, hangs, or answers wrong or short without an error. After the next start each
// acknowledged value is there, or the start or the read of it is an error, and a repair
// saves the values that the file did not hold. Without -every a third of the cases are tried.
func TestFilesHarmedWhileOpen(t *testing.T) {
	t.Parallel()
	kinds := []string{".sst", ".log", "MANIFEST-", "OPTIONS-", "marker.manifest", "marker.format", "FORMAT", "LOCK", "SYNCED", "SYNCED-MANIFEST"}
	for _, noLog := range []bool{false, true} {
		for _, kind := range kinds {
			for how, harm := range harms {
				if noLog && (kind == ".log" || kind == "SYNCED") || !*everyByte && (noLog != (len(kind+how)%2 == 0) || how == "emptied") {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/noLog=%v", kind, how, noLog), func(t *testing.T) {
					t.Parallel()
					harmWhileOpen(t, kind, noLog, harm)
				})
			}
		}
	}
}

// harmed is a store that is used while its files are harmed.
type harmed struct {
	db      *DB
	reached int64 // instants up to here were tried
	acked   []int64
}

func harmWhileOpen(t *testing.T, kind string, noLog bool, harm func(string) error) {
	dir := filepath.Join(t.TempDir(), "data")
	opts := &Options{NoLog: noLog, MemtableBytes: 1 << 20, CacheBytes: 1 << 10, Logger: slog.New(slog.DiscardHandler)}
	h := &harmed{db: openIn(t, dir, opts)}
	h.use(t, 8, true)
	if err := h.db.engine.pebble.Flush(); err != nil {
		t.Fatal(err)
	}
	h.use(t, 3, true)
	old := slices.Clone(h.acked)
	if err := harm(fileOf(t, dir, kind)); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		h.read(t, h.db)
		h.use(t, 2, false)
		impatient(h.db)
		if e := h.db.engine; e != nil && round == 1 {
			_ = e.guard(func(e *engine) error {
				if kind == ".sst" { // Compact would not return
					return e.pebble.Flush()
				}
				return errors.Join(e.pebble.Flush(), e.pebble.Compact(t.Context(), []byte{0}, []byte{0xff}, false))
			})
		}
	}
	_ = h.db.Close() // may tell of the harm
	if fresh, err := Open(dir, opts); err == nil {
		h.read(t, fresh)
		_ = fresh.Close()
	}
	h.repair(t, dir, kind, old, opts)
}

// use commits n values. Sure says that each must succeed.
func (h *harmed) use(t *testing.T, n int, sure bool) {
	t.Helper()
	for range n {
		at := h.reached
		h.reached++
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		row, e, blob := sample("t", at, 400)
		err := h.db.Commit(ctx, row, e, blob)
		if err == nil && h.db.opts.NoLog {
			err = h.db.Sync(ctx)
		}
		cancel()
		switch {
		case err == nil:
			h.acked = append(h.acked, at)
		case sure, errors.Is(err, context.DeadlineExceeded):
			t.Fatalf("value %d: %v", at, err)
		}
	}
}

// read reads each acknowledged value: it is right, or an error.
func (h *harmed) read(t *testing.T, db *DB) {
	t.Helper()
	for _, at := range h.acked {
		row, e, blob := sample("t", at, 400)
		found, err := db.Index().Query(t.Context(), row, at, at+1)
		if err == nil && (len(found) != 1 || found[0] != e) {
			t.Errorf("value %d: entries %v and no error", at, found)
		}
		blobs, err := db.Blobs().Get(t.Context(), []string{e.Key})
		if err == nil && !bytes.Equal(blobs[0], blob) {
			t.Errorf("value %d: %d other bytes and no error", at, len(blobs[0]))
		}
	}
}

// repair saves what the harmed file did not hold. Old are the values that were there
// before the harm, which a table or a log may have held alone.
func (h *harmed) repair(t *testing.T, dir, kind string, old []int64, opts *Options) {
	t.Helper()
	found, err := Repair(t.Context(), dir, dir+".new", opts)
	if err != nil {
		t.Fatal(err)
	}
	db := openIn(t, dir+".new", opts)
	missing := 0
	for _, at := range h.acked {
		if blobOf(t, db, mustKey(at)) == nil {
			missing++
		}
	}
	if holds := kind == ".sst" || kind == ".log"; missing > 0 && (!holds || found.Sound()) {
		t.Errorf("%d of %d values are missing, and the repair found %+v", missing, len(h.acked), found)
	}
	if missing > len(old) {
		t.Errorf("%d values are missing, and the file held at most %d", missing, len(old))
	}
}

func mustKey(at int64) string { _, e, _ := sample("t", at, 0); return e.Key }

// fileOf returns the name of the newest file of a kind.
func fileOf(t *testing.T, dir, kind string) string {
	t.Helper()
	names, err := vfs.Default.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	slices.Reverse(names)
	for _, name := range names {
		switch strings.TrimPrefix(name, kind) {
		case "":
			return filepath.Join(dir, name)
		case name:
			if filepath.Ext(name) == kind {
				return filepath.Join(dir, name)
			}
		default:
			if kind != "SYNCED" {
				return filepath.Join(dir, name)
			}
		}
	}
	t.Fatal(&fs.PathError{Op: "find", Path: kind, Err: fs.ErrNotExist})
	return ""
}

// TestADamagedTableStopsNoWriter damages a block that compactions need, and goes on
// committing for long. No commit waits for ever, and neither does Close. The compaction
// does not keep a processor busy, and its failure is told, and not each time.
func TestADamagedTableStopsNoWriter(t *testing.T) {
	t.Parallel()
	mem, told := vfs.NewMem(), new(lines)
	opts := &Options{FS: mem, Logger: slog.New(slog.NewTextHandler(told, &slog.HandlerOptions{Level: slog.LevelError}))}
	db := openIn(t, "data", opts)
	h := &harmed{db: db}
	h.use(t, 5, true)
	if err := db.engine.pebble.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	flipBits(t, mem, ".sst")
	h.db = openIn(t, "data", opts)
	for range 30 {
		h.use(t, 2, false)
		flushed := make(chan error, 1)
		go func() { flushed <- h.db.engine.pebble.Flush() }()
		select {
		case <-flushed:
		case <-time.After(time.Minute):
			t.Fatal("a flush waits for ever")
		}
	}
	if len(h.acked) < 60 {
		t.Errorf("%d values of 65 were taken", len(h.acked))
	}
	if n := told.n.Load(); n == 0 || n > 50 {
		t.Errorf("the log has %d lines about damage, want some", n)
	}
	if n := h.db.engine.fuse.damage.met.Load(); n == 0 || n > freeDamage+100 {
		t.Errorf("compactions have met the damaged block %d times, want a few", n)
	}
}

// lines counts lines of a log.
type lines struct{ n atomic.Int64 }

func (l *lines) Write(p []byte) (int, error) {
	l.n.Add(1)
	return len(p), nil
}

// TestDamageIsPaced checks that the first damaged blocks cost no wait, later ones do, and
// after a while some do not again.
func TestDamageIsPaced(t *testing.T) {
	t.Parallel()
	var d damage
	now, passed := time.Unix(0, 0), 0
	for range 3 * freeDamage {
		if d.mayPass(now) {
			passed++
		}
	}
	if passed != freeDamage {
		t.Errorf("%d passed, want %d", passed, freeDamage)
	}
	if d.mayPass(now.Add(damagePause/2)) || !d.mayPass(now.Add(3*damagePause)) {
		t.Error("one more must pass in three pauses, and none in half of one")
	}
}

// TestADamagedBlobIsNotReadAgainSoon reads a blob in a damaged block twice. The second read gives the error of the first
// and reads no file, because such a read takes long. A minute later the file is read again.
func TestADamagedBlobIsNotReadAgainSoon(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	db := openIn(t, "data", &Options{FS: mem})
	row, e, blob := sample("t", 1, 20<<10)
	if err := errors.Join(db.Commit(t.Context(), row, e, blob), db.engine.pebble.Flush(), db.Close()); err != nil {
		t.Fatal(err)
	}
	flipBits(t, mem, ".sst")
	reading := &trap{match: reads}
	db = openIn(t, "data", &Options{FS: errorfs.Wrap(mem, reading)})
	get := func() (int64, error) {
		before := reading.seen.Load()
		_, err := db.Blobs().Get(t.Context(), []string{e.Key})
		if err == nil {
			t.Fatal("the block is not damaged")
		}
		return reading.seen.Load() - before, err
	}
	if n, _ := get(); n == 0 {
		t.Fatal("the first read has read no file")
	}
	d := &db.engine.fuse.damage
	first := d.unread[string(blobKey(e.Key))]
	if n, err := get(); n != 0 || !errors.Is(err, first.err) {
		t.Errorf("the second read has read a file %d times, error %v", n, err)
	}
	first.since = first.since.Add(-unreadAgain)
	d.unread[string(blobKey(e.Key))] = first
	if n, _ := get(); n == 0 {
		t.Error("a read after a minute has read no file")
	}
}
