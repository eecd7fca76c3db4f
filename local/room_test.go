package local

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// small is a file system in memory with so much room. What does not fit is written in
// part, and the rest is ENOSPC.
type small struct {
	vfs.FS
	mu    sync.Mutex
	room  int64            // guarded by mu
	sizes map[string]int64 // of the files that were written here; guarded by mu
}

func newSmall(fsys vfs.FS, room int64) *small {
	return &small{FS: fsys, room: room, sizes: make(map[string]int64)}
}

// has changes the room and returns it.
func (s *small) has(more int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room += more
	return s.room
}

// take takes room for n bytes of a file and returns how many there is room for.
func (s *small) take(name string, n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	fits := max(min(int64(n), s.room), 0)
	s.room -= fits
	s.sizes[name] += fits
	return int(fits)
}

// free gives back what a file has taken.
func (s *small) free(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room += s.sizes[name]
	delete(s.sizes, name)
}

func (s *small) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: uint64(max(s.has(0), 0))}, nil
}

func (s *small) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := s.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	s.free(name)
	return &smallFile{file, s, name}, nil
}

func (s *small) Remove(name string) error {
	err := s.FS.Remove(name)
	if err == nil {
		s.free(name)
	}
	return err
}

func (s *small) Rename(old, name string) error {
	err := s.FS.Rename(old, name)
	if err == nil {
		s.free(name)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sizes[name] = s.sizes[old]
		delete(s.sizes, old)
	}
	return err
}

func (s *small) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := s.FS.ReuseForWrite(old, name, c)
	if err != nil {
		return nil, err
	}
	s.free(old)
	return &smallFile{file, s, name}, nil
}

type smallFile struct {
	vfs.File
	disk *small
	name string
}

func (f *smallFile) Write(p []byte) (int, error) {
	fits := f.disk.take(f.name, len(p))
	n, err := f.File.Write(p[:fits])
	if err == nil && fits < len(p) {
		err = &syscallError{syscall.ENOSPC}
	}
	return n, err
}

// TestStartOnAnAlmostFullDisk opens a store whose log needs more room than there is, to
// become a table. Its values are answered, and new ones are refused with the cause. No
// attempt leaves files behind. With more room it takes values.
func TestStartOnAnAlmostFullDisk(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	fillLog(t, mem)
	disk := newSmall(mem, 1<<20)
	db := openIn(t, "data", &Options{FS: disk, MemtableBytes: 1 << 20})
	row, e, blob := sample("other", 1, 100)
	for range 3 {
		impatient(db)
		wantErr(t, db.Commit(t.Context(), row, e, blob), ErrReadOnly)
		if n := len(entriesOf(t, db, "t")); n != 60 {
			t.Fatalf("%d entries, want 60", n)
		}
		if room := disk.has(0); room < 800<<10 {
			t.Fatalf("attempts to write have left files, and %d bytes of room", room)
		}
	}
	disk.has(20 << 20)
	if err := db.Commit(t.Context(), row, e, blob); err != nil {
		t.Fatal(err)
	}
	if old, other := len(entriesOf(t, db, "t")), len(entriesOf(t, db, "other")); old != 60 || other != 1 {
		t.Errorf("%d and %d entries, want 60 and 1", old, other)
	}
}

// fillLog makes a store with 3 MB in its log.
func fillLog(t *testing.T, mem vfs.FS) {
	t.Helper()
	db := openIn(t, "data", &Options{FS: mem, MemtableBytes: 16 << 20})
	for at := range int64(60) {
		commit(t, db, "t", at, 50_000)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDiskWhenRetentionBegins has room to open the store and none for what retention
// writes at the start. The store is opened.
func TestFullDiskWhenRetentionBegins(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	fillTables(t, mem)
	begun := newSmall(mem, 1<<30)
	if err := openIn(t, "data", &Options{FS: begun}).Close(); err != nil {
		t.Fatal(err)
	}
	opening := 1<<30 - begun.has(0)
	for _, room := range []int64{opening + probeBytes, opening + probeBytes + 20, 0} {
		clone := vfs.NewMem()
		if ok, err := vfs.Clone(mem, clone, "data", "data"); !ok || err != nil {
			t.Fatal(ok, err)
		}
		var log bytes.Buffer
		opts := &Options{FS: newSmall(clone, room), Retention: time.Hour, Now: func() time.Time { return time.Unix(10_000, 0) }, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		db, err := Open("data", opts)
		if err != nil {
			t.Errorf("with %d bytes of room: %v", room, err)
			continue
		}
		if _, err := db.Tenants(t.Context()); err != nil {
			t.Errorf("with %d bytes of room: %v", room, err)
		}
		if !strings.Contains(log.String(), "retention") {
			t.Errorf("with %d bytes of room the log does not tell of retention: %s", room, log.String())
		}
		if err := db.Close(); err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Error(err)
		}
	}
}

// TestRetentionPassesDamage damages the oldest block of a store. The store is opened, its
// retention removes what is too old in spite of the damage, and the rest is answered.
func TestRetentionPassesDamage(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	db := openIn(t, "data", &Options{FS: mem})
	for at := range int64(40 * 20) { // entries of several blocks
		commit(t, db, "t", at*hour/20, 100)
	}
	if err := db.engine.pebble.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if n := flipBits(t, mem, ".sst"); n != 1 {
		t.Fatalf("%d tables, want 1", n)
	}
	var log bytes.Buffer
	db = openIn(t, "data", &Options{FS: mem, Retention: time.Hour, Now: func() time.Time { return time.Unix(40*3600, 0) }, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if got := len(entriesOf(t, db, "t")); got != 20 {
		t.Errorf("%d entries are left, want the 20 of the last hour", got)
	}
	if !strings.Contains(log.String(), "retention failed") {
		t.Errorf("the log does not tell of the damage: %s", log.String())
	}
}
