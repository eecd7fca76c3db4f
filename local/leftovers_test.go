package local

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/timeblob/timeblob/index"
)

// TestLeftoversOfAKill checks a store in which a kill has left a table that was being
// written, and is cut or empty. It is sound, and a repair saves all of it.
func TestLeftoversOfAKill(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	fillBoth(t, mem)
	var table []byte
	for name, content := range filesOf(t, mem) {
		if filepath.Ext(name) == ".sst" {
			table = content
		}
	}
	rewrite(t, mem, "data/000997.sst", table[:len(table)/2])
	rewrite(t, mem, "data/000998.sst", nil)
	opts := &Options{FS: mem, Logger: slog.New(slog.DiscardHandler)}
	found, err := Check(t.Context(), "data", opts)
	if err != nil || !found.Sound() || found.Entries != 43 {
		t.Errorf("check: %+v, %v", found, err)
	}
	found, err = Repair(t.Context(), "data", "new", opts)
	if err != nil || !found.Sound() || found.Entries != 43 {
		t.Errorf("repair: %+v, %v", found, err)
	}
	if n := len(entriesOf(t, openIn(t, "data", opts), "t")); n != 43 {
		t.Errorf("%d entries, want 43", n)
	}
}

// filesOf returns the content of each file in data. An open store may remove one meanwhile.
func filesOf(t *testing.T, fsys vfs.FS) map[string][]byte {
	t.Helper()
	names, err := fsys.List("data")
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, name := range names {
		f, err := fsys.Open(fsys.PathJoin("data", name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[name], err = io.ReadAll(f); errors.Join(err, f.Close()) != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestReplacedFilesOfAKill checks a store in which a kill has left the older ones of the
// tables and logs that a compaction has replaced. A repair restores no old state of a place, nothing that was
// removed, and all that was removed and put again.
func TestReplacedFilesOfAKill(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	db := openIn(t, "data", &Options{FS: mem})
	files := make(map[string][]byte)
	for i, step := range changes(t, db) {
		step()
		if err := db.engine.pebble.Flush(); err != nil {
			t.Fatal(err)
		}
		for name, content := range filesOf(t, mem) {
			if ext := filepath.Ext(name); i < removed && (ext == ".sst" || ext == ".log") {
				files[name] = content
			}
		}
	}
	if err := db.engine.pebble.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	now, left := filesOf(t, mem), 0
	for name, content := range files {
		if now[name] == nil {
			rewrite(t, mem, mem.PathJoin("data", name), content)
			left++
		}
	}
	if left < 3 {
		t.Fatalf("%d files are left over", left)
	}
	opts := &Options{FS: mem, Logger: slog.New(slog.DiscardHandler)}
	found, err := Repair(t.Context(), "data", "new", opts)
	if err != nil || !found.Sound() || found.Unnamed != 0 {
		t.Errorf("%+v, %v", found, err)
	}
	checkChanges(t, openIn(t, "new", opts))
	checkChanges(t, openIn(t, "data", opts))
}

// removed is how many steps of changes are done once the value is removed.
const removed = 4

var changedPlaces = index.PlaceSet{Tenant: "t", Level: time.Hour}

// changes returns the steps that write a store: a place that is replaced, a value that is
// removed, and a blob that is removed and put again.
func changes(t *testing.T, db *DB) (steps []func()) {
	swap := func(old, id string) func() {
		return func() {
			p := index.Place{Start: 0, ID: id, State: []byte(id)}
			if ok, err := db.Index().SwapPlace(t.Context(), changedPlaces, old, p); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
	}
	row, kept, blob := sample("t", 1, 50)
	_, gone, _ := sample("t", 2, 50)
	remove := func() {
		err := errors.Join(
			db.Index().Delete(t.Context(), row, []index.Entry{gone}),
			db.Blobs().Delete(t.Context(), []string{gone.Key, kept.Key}))
		if err != nil {
			t.Fatal(err)
		}
	}
	again := func() {
		if err := db.Blobs().Put(t.Context(), kept.Key, blob); err != nil {
			t.Fatal(err)
		}
	}
	return []func(){
		swap("", "first"), func() { commit(t, db, "t", 1, 50); commit(t, db, "t", 2, 50) },
		swap("first", "second"), remove, again, swap("second", "third"),
	}
}

func checkChanges(t *testing.T, db *DB) {
	t.Helper()
	places, err := db.Index().Places(t.Context(), changedPlaces, 0, 1)
	if err != nil || len(places) != 1 || places[0].ID != "third" {
		t.Errorf("places %v, %v; want the third state", places, err)
	}
	_, kept, blob := sample("t", 1, 50)
	_, gone, _ := sample("t", 2, 50)
	if entries := entriesOf(t, db, "t"); len(entries) != 1 || entries[0] != kept {
		t.Errorf("entries %v, want %v", entries, kept)
	}
	if !bytes.Equal(blobOf(t, db, kept.Key), blob) || blobOf(t, db, gone.Key) != nil {
		t.Error("the blob that was put again is lost, or the one that was removed has come back")
	}
}
