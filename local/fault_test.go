package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/racetest"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

var errDisk = fmt.Errorf("injected: %w", syscall.EIO)

// trap fails file system operations: matching operations, from the at-th on, count times.
type trap struct {
	match     func(errorfs.Op) bool
	err       error
	at, count int64
	seen, hit atomic.Int64
}

func (f *trap) String() string { return "trap" }

func (f *trap) MaybeError(op errorfs.Op) error {
	if !f.match(op) {
		return nil
	}
	if n := f.seen.Add(1); n < f.at || n >= f.at+f.count {
		return nil
	}
	f.hit.Add(1)
	return f.err
}

// writes matches what fails on a broken disk; closing is left out, for what
// cannot be closed would be held by the test's own file system for ever.
func writes(op errorfs.Op) bool {
	return op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpLock && op.Kind != errorfs.OpFileClose
}

func reads(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileRead || op.Kind == errorfs.OpFileReadAt
}

// history is what a sequence of commits has been told.
type history struct {
	acked, failed []int64
}

// commitAll commits n instants of tenant "t" and notes what became of them. It
// fails the test on errors other than want, and never retries.
func commitAll(t *testing.T, db *DB, n int64, want error) (h history) {
	t.Helper()
	for at := range n {
		row, e, blob := sample("t", instant(at), sizeOf(at))
		err := db.Commit(context.Background(), row, e, blob)
		switch {
		case err == nil:
			h.acked = append(h.acked, at)
		case errors.Is(err, want):
			h.failed = append(h.failed, at)
		default:
			t.Fatalf("commit %d: got error %v, want %v", at, err, want)
		}
	}
	return h
}

// checkHistory checks that acknowledged writes are there and failed writes are there whole or not at all. Then it repeats the missing ones.
func checkHistory(t *testing.T, db *DB, h history) {
	t.Helper()
	for _, at := range h.acked {
		row, e, _ := sample("t", instant(at), 0)
		checkEntry(t, db, row, e, true)
		checkWhole(t, db, "t", at, e)
	}
	for _, at := range h.failed {
		row, e, blob := sample("t", instant(at), sizeOf(at))
		there := blobOf(t, db, e.Key) != nil
		checkEntry(t, db, row, e, there)
		if err := db.Commit(t.Context(), row, e, blob); (err == nil) == there || there && !errors.Is(err, index.ErrExists) {
			t.Fatalf("commit %d, there %v: %v", at, there, err)
		}
		checkWhole(t, db, "t", at, e)
	}
	if n := len(entriesOf(t, db, "t")); n != len(h.acked)+len(h.failed) {
		t.Fatalf("%d entries of %d", n, len(h.acked)+len(h.failed))
	}
}

func checkEntry(t *testing.T, db *DB, row index.Row, e index.Entry, want bool) {
	t.Helper()
	found, err := db.Index().Query(t.Context(), row, e.Time, e.Time+1)
	if err != nil || (len(found) == 1) != want || want && found[0] != e {
		t.Fatalf("entry %v: got %v, %v; want it there: %v", e, found, err, want)
	}
}

// TestFailedWrite fails every write operation in turn that a store does which
// opens, commits, flushes and compacts, once or until it is healed. No call
// may panic, hang or lie, and the store must work again without being reopened.
// Of later operations it fails every so many, and fewer under the race detector.
func TestFailedWrite(t *testing.T) {
	t.Parallel()
	const commits = 80
	denser, least := int64(4), 20
	if racetest.Enabled {
		denser, least = 1, 8
	}
	for name, count := range map[string]int64{"Once": 1, "Full": 1 << 40} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hits := 0
			for at := int64(1); ; at += 1 + at/denser {
				fault := &trap{match: writes, err: errDisk, at: at, count: count}
				if hit := runFailedWrite(t, fault, commits); hit {
					hits++
				} else {
					break
				}
			}
			if hits < least {
				t.Errorf("only %d faults were met", hits)
			}
		})
	}
}

func runFailedWrite(t *testing.T, fault *trap, commits int64) (hit bool) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	toggle := &errorfs.Toggle{Injector: fault}
	toggle.On()
	opts := &Options{FS: errorfs.Wrap(mem, toggle), MemtableBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)}
	db, err := Open("data", opts)
	if err != nil {
		if !errors.Is(err, errDisk) {
			t.Fatalf("fault at %d: open: %v", fault.at, err)
		}
		toggle.Off()
		db = openIn(t, "data", opts)
	}
	h := commitAll(t, db, commits, errDisk)
	toggle.Off()
	impatient(db)
	checkHistory(t, db, h)
	if err := db.Close(); err != nil {
		t.Fatalf("fault at %d: close: %v", fault.at, err)
	}
	clone := mem.CrashClone(vfs.CrashCloneCfg{})
	checkHistory(t, openIn(t, "data", &Options{FS: clone}), history{acked: append(h.acked, h.failed...)})
	return fault.hit.Load() > 0
}

// TestDiskFull checks that while the disk is full, or read-only, values are refused with the
// cause, and reads are answered; also when the store is opened then. When there is
// room again it takes values.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	for _, cause := range []syscall.Errno{syscall.ENOSPC, syscall.EROFS} {
		for _, reopen := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/reopen=%v", cause, reopen), func(t *testing.T) {
				t.Parallel()
				checkDiskFull(t, cause, reopen)
			})
		}
	}
}

func checkDiskFull(t *testing.T, cause syscall.Errno, reopen bool) {
	locks := func(op errorfs.Op) bool { return writes(op) || cause == syscall.EROFS && op.Kind == errorfs.OpLock }
	fault := &trap{match: locks, err: &syscallError{cause}, at: 1, count: 1 << 40}
	toggle := &errorfs.Toggle{Injector: fault}
	mem := vfs.NewMem()
	opts := &Options{FS: errorfs.Wrap(mem, toggle), Retention: time.Hour, Now: func() time.Time { return time.Unix(0, 0) }}
	db := openIn(t, "data", opts)
	commit(t, db, "t", 1, 100)
	if reopen {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		toggle.On()
		db = openIn(t, "data", opts)
	}
	toggle.On()
	row, e, blob := sample("t", 2, 100)
	for range 3 {
		wantErr(t, db.Commit(t.Context(), row, e, blob), cause)
	}
	before, _ := mem.List("data")
	for range 100 {
		if n := len(entriesOf(t, db, "t")); n != 1 {
			t.Fatalf("%d entries on a full disk, want 1", n)
		}
		impatient(db)
		wantErr(t, db.Commit(t.Context(), row, e, blob), ErrReadOnly)
	}
	if after, _ := mem.List("data"); len(after) > len(before) {
		t.Errorf("files piled up: %q, then %q", before, after)
	}
	toggle.Off()
	if err := db.Commit(t.Context(), row, e, blob); err != nil {
		t.Fatal(err)
	}
	if n := len(entriesOf(t, db, "t")); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
}

// impatient makes the next call try to go on at once.
func impatient(db *DB) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.pause = 0
}

// syscallError is how the os package passes errors of the system on.
type syscallError struct{ error }

func (e *syscallError) Unwrap() error { return e.error }

// TestNoPreallocation checks that a file system that cannot preallocate is as good.
func TestNoPreallocation(t *testing.T) {
	t.Parallel()
	fault := &trap{match: func(op errorfs.Op) bool { return op.Kind == errorfs.OpFilePreallocate }, err: syscall.EOPNOTSUPP, at: 1, count: 1 << 40}
	db := openIn(t, t.TempDir(), &Options{FS: errorfs.Wrap(vfs.Default, fault)})
	commit(t, db, "t", 1, 1<<20)
	if fault.hit.Load() == 0 {
		t.Error("nothing was preallocated")
	}
}

// TestFailedRead checks that a block that cannot be read is an error that names the blob,
// and is not an absent blob, nor is it taken for free to write.
func TestFailedRead(t *testing.T) {
	t.Parallel()
	fault := &trap{match: reads, err: errDisk, at: 1, count: 1 << 40}
	toggle := &errorfs.Toggle{Injector: fault}
	mem := vfs.NewMem()
	fillTables(t, mem)
	db := openIn(t, "data", &Options{FS: errorfs.Wrap(mem, toggle)})
	row, e, blob := sample("t", 1, 5000)
	toggle.On()
	_, err := tiertest.Found(t.Context(), db.Blobs(), []string{"absent", e.Key})
	wantErr(t, err, errDisk)
	if err == nil || !strings.Contains(err.Error(), e.Key) {
		t.Errorf("error %v does not name %q", err, e.Key)
	}
	_, err = db.Index().Query(t.Context(), row, 0, hour)
	wantErr(t, err, errDisk)
	wantErr(t, db.Commit(t.Context(), row, e, blob), errDisk)
	toggle.Off()
	// Pebble opens tables in the background too, and a call that needs the table
	// shares that attempt and its error. Few attempts began while the fault was on.
	for range 16 {
		if err = db.Commit(t.Context(), row, e, blob); !errors.Is(err, errDisk) {
			break
		}
	}
	wantErr(t, err, index.ErrExists)
	if got := blobOf(t, db, e.Key); !bytes.Equal(got, blob) {
		t.Error("wrong blob after the fault")
	}
}

// fillTables leaves a store in mem with all it has in tables.
func fillTables(t *testing.T, mem vfs.FS) {
	t.Helper()
	db := openIn(t, "data", &Options{FS: mem})
	for at := range int64(50) {
		commit(t, db, "t", at, 5000)
	}
	if err := db.engine.pebble.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCorruption flips one bit in each table: an error, and neither an absent nor
// a wrong blob.
func TestCorruption(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{".sst"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			fillTables(t, mem)
			if n := flipBits(t, mem, kind); n == 0 {
				t.Fatalf("no file %s", kind)
			}
			checkCorrupt(t, mem)
		})
	}
}

func flipBits(t *testing.T, mem vfs.FS, kind string) (n int) {
	t.Helper()
	names, err := mem.List("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if filepath.Ext(name) != kind {
			continue
		}
		n++
		f, err := mem.OpenReadWrite(mem.PathJoin("data", name), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		var b [1]byte
		_, read := f.ReadAt(b[:], 100)
		b[0] ^= 4
		_, write := f.WriteAt(b[:], 100)
		if err := errors.Join(read, write, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func checkCorrupt(t *testing.T, mem vfs.FS) {
	t.Helper()
	db, err := Open("data", &Options{FS: mem, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return // refused at once: that is not silent either
	}
	defer db.Close()
	faults := 0
	for at := range int64(50) {
		row, e, blob := sample("t", at, 5000)
		_, indexErr := db.Index().Query(t.Context(), row, at, at+1)
		found, err := tiertest.Found(t.Context(), db.Blobs(), []string{e.Key})
		if err != nil || indexErr != nil {
			faults++
		}
		if err == nil && !bytes.Equal(found[e.Key], blob) {
			t.Errorf("blob %d: %d bytes that are not what was stored, and no error", at, len(found[e.Key]))
		}
	}
	if faults == 0 {
		t.Error("the flipped bit was not noticed")
	}
}
