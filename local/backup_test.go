package local

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// TestBackup copies a store in use, on, and goes back to the copy.
func TestBackup(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dir, to := filepath.Join(parent, "data"), filepath.Join(parent, "copies", "1")
	db := openIn(t, dir, nil)
	for at := range int64(20) {
		commit(t, db, "t", at, 3000)
	}
	if err := db.engine.pebble.Flush(); err != nil {
		t.Fatal(err)
	}
	commit(t, db, "t", 20, 100)
	if err := db.Backup(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if err := db.Backup(t.Context(), to); err == nil {
		t.Error("a second copy was written over the first")
	}
	if err := db.Backup(t.Context(), filepath.Join(dir, "x")); err == nil {
		t.Error("a copy was written into the store")
	}
	commit(t, db, "t", 21, 100)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(to, dir); err != nil {
		t.Fatal(err)
	}
	found, err := Check(t.Context(), dir, nil)
	if err != nil || !found.Sound() || found.Entries != 21 {
		t.Errorf("got %+v, %v", found, err)
	}
	back := openIn(t, dir, nil)
	if got := len(entriesOf(t, back, "t")); got != 21 {
		t.Errorf("%d entries, want the 21 from before the copy", got)
	}
	commit(t, back, "t", 21, 100)
}

// TestBackupFails checks that a full disk where the copy goes, or one that knows no links,
// does not harm the store.
func TestBackupFails(t *testing.T) {
	t.Parallel()
	outside := func(op errorfs.Op) bool { return writes(op) && filepath.Dir(op.Path) == "copy" }
	fault := &trap{match: outside, err: &syscallError{syscall.ENOSPC}, at: 1, count: 1 << 40}
	db := openIn(t, "data", &Options{FS: errorfs.Wrap(vfs.NewMem(), fault), Logger: slog.New(slog.DiscardHandler)})
	commit(t, db, "t", 1, 100)
	wantErr(t, db.Backup(t.Context(), "copy"), syscall.ENOSPC)
	commit(t, db, "t", 2, 100)
	if got := len(entriesOf(t, db, "t")); got != 2 {
		t.Errorf("%d entries", got)
	}
}

// Values may hold secrets: only the user of the process may enter a store or its copy.
func TestDirectoriesArePrivate(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such permissions")
	}
	parent := filepath.Join(t.TempDir(), "made")
	db := openIn(t, filepath.Join(parent, "store"), nil)
	if err := db.Backup(t.Context(), filepath.Join(parent, "copies", "one")); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"store", "copies/one"} {
		info, err := os.Stat(filepath.Join(parent, dir))
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir, info.Mode(), err)
		}
	}
}
