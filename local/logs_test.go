package local

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logged returns a file system with a store in "data" whose values stand in its
// log alone: n of a size. Open tells whether it is as a SIGKILL leaves it.
func logged(t *testing.T, open bool, n int64, size int) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	db := openIn(t, "data", &Options{FS: mem})
	for at := range n {
		commit(t, db, "t", at, size)
	}
	if !open {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

// lastLog returns the bytes of the newest log.
func lastLog(t *testing.T, fsys vfs.FS, dir string) (name string, content []byte) {
	t.Helper()
	names, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if filepath.Ext(n) == ".log" && n > name {
			name = n
		}
	}
	name = fsys.PathJoin(dir, name)
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	content, err = io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return name, content
}

func rewrite(t *testing.T, fsys vfs.FS, name string, content []byte) {
	t.Helper()
	f, err := fsys.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(bytes.Clone(content)) // a file may change what it is given
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedLog flips each byte of the first log of a new directory, and cuts the
// log at each: the store is not opened, or has all that was acknowledged.
func TestDamagedLog(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		open  bool
		n     int64
		size  int
		step  int
		block bool
	}{
		"Killed":      {true, 8, 60, 1, false},
		"Closed":      {false, 8, 60, 1, false},
		"ManyBlocks":  {true, 5, 30_000, 4001, true},
		"ClosedLarge": {false, 5, 30_000, 4003, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem := logged(t, test.open, test.n, test.size)
			file, content := lastLog(t, mem, "data")
			told := 0
			for at := 0; at < len(content); at += test.step {
				flipped := append([]byte(nil), content...)
				flipped[at] ^= 1
				for _, harmed := range [][]byte{flipped, content[:at]} {
					rewrite(t, mem, file, harmed)
					if isTold(t, mem, test.n, at) {
						told++
					}
				}
			}
			if told < len(content)/test.step {
				t.Errorf("%d of %d faults were told", told, 2*len(content)/test.step)
			}
			rewrite(t, mem, file, content)
			checkAll(t, mem, test.n, -1)
		})
	}
}

// isTold tells whether the damage is told, and fails unless it is or nothing is
// lost.
func isTold(t *testing.T, mem *vfs.MemFS, n int64, at int) bool {
	t.Helper()
	opts, _ := (&Options{FS: mem, Logger: slog.New(slog.DiscardHandler)}).filled()
	var damage *DamageError
	err := checkLogs("data", &opts)
	if err != nil && !errors.As(err, &damage) {
		t.Fatal(err)
	}
	if err == nil {
		checkAll(t, mem.CrashClone(vfs.CrashCloneCfg{}), n, at)
	}
	return err != nil
}

func checkAll(t *testing.T, mem *vfs.MemFS, n int64, at int) {
	t.Helper()
	db := openIn(t, "data", &Options{FS: mem})
	if got := int64(len(entriesOf(t, db, "t"))); got != n {
		t.Fatalf("byte %d: %d of %d entries and no error", at, got, n)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLostLog checks that the newest log is gone.
func TestLostLog(t *testing.T) {
	t.Parallel()
	mem := logged(t, true, 3, 100)
	name, _ := lastLog(t, mem, "data")
	if err := mem.Remove(name); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, "data", &Options{FS: mem}, "it is missing, and held")
}

// TestDamagedOldLog flips each byte of a log that the first version of this package
// wrote, whose chunks say nothing of what is on disk.
func TestDamagedOldLog(t *testing.T) {
	t.Parallel()
	opts, _ := (&Options{FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler)}).filled()
	if ok, err := vfs.Clone(vfs.Default, opts.FS, golden(t, "format1"), "old"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	name, content := lastLog(t, opts.FS, "old")
	for at := range content {
		content[at] ^= 0x20
		rewrite(t, opts.FS, name, content)
		content[at] ^= 0x20
		var damage *DamageError
		if err := checkLogs("old", &opts); !errors.As(err, &damage) && at < len(content)-11 { // behind is the mark of a closed log
			t.Errorf("byte %d of %d: %v", at, len(content), err)
		}
	}
}
