package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/timeblob/timeblob/local/internal/wal"
)

const manifestNote = "SYNCED-MANIFEST"

// noted returns the content of a note.
func noted(t *testing.T, s wal.Synced) []byte {
	t.Helper()
	mem := vfs.NewMem()
	n := wal.NoteOfManifests(mem, "")
	if err := errors.Join(n.Write(s), n.Close()); err != nil {
		t.Fatal(err)
	}
	return readAll(t, mem, "SYNCED-MANIFEST")
}

// TestManifestOfANewStoreIsBegunAgain leaves what two first starts leave that are killed
// before the marker is made. The first start has synced the manifest and its note, and
// the second start has truncated the manifest.
func TestManifestOfANewStoreIsBegunAgain(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	if err := mem.MkdirAll("data", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeFormat(mem, "data"); err != nil {
		t.Fatal(err)
	}
	rewrite(t, mem, "data/MANIFEST-000001", nil)
	rewrite(t, mem, "data/"+manifestNote, noted(t, wal.Synced{Log: 1, Length: 50}))
	wantOpen(t, mem, 0)
}

// TestManifestIsBegunAgain has a start make a manifest, loses the manifest and its marker
// as a power failure does, and keeps the note. The next start makes the same manifest
// again and is killed before it syncs it.
func TestManifestIsBegunAgain(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	fillBoth(t, mem)
	if ok, err := vfs.Clone(mem, mem, "data", "lost"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	db := openIn(t, "lost", &Options{FS: mem})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, after := currentManifest(t, mem, "data"), currentManifest(t, mem, "lost")
	if before == after {
		t.Fatalf("the start made no manifest: %s", before)
	}
	rewrite(t, mem, "data/"+after, nil)
	rewrite(t, mem, "data/"+manifestNote, readAll(t, mem, "lost/"+manifestNote))
	wantOpen(t, mem, 43)
}

// TestManifestInUseIsCut cuts the manifest that the marker names. The store is refused.
func TestManifestInUseIsCut(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	fillBoth(t, mem)
	name := "data/" + currentManifest(t, mem, "data")
	content := readAll(t, mem, name)
	rewrite(t, mem, name, content[:len(content)-1])
	wantRefusal(t, "data", &Options{FS: mem, Logger: slog.New(slog.DiscardHandler)}, "bytes, and had")
}

// currentManifest returns the name of the manifest that the marker names.
func currentManifest(t *testing.T, fsys vfs.FS, dir string) string {
	t.Helper()
	is, err := pebble.Peek(dir, fsys)
	if err != nil || !is.Exists {
		t.Fatal(is, err)
	}
	return fsys.PathBase(is.ManifestFilename)
}

// wantOpen checks the store in data, opens it, and opens it again after one more value.
func wantOpen(t *testing.T, mem *vfs.MemFS, entries int) {
	t.Helper()
	if err := checkManifest("data", &Options{FS: mem}); err != nil {
		t.Error(err)
	}
	db := openIn(t, "data", &Options{FS: mem})
	commit(t, db, "other", 1, 40)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openIn(t, "data", &Options{FS: mem})
	if n, other := len(entriesOf(t, db, "t")), len(entriesOf(t, db, "other")); n != entries || other != 1 {
		t.Errorf("%d and %d entries, want %d and 1", n, other, entries)
	}
}

// markers is a file system that looks at the note of the manifest whenever a marker of a
// manifest is created.
type markers struct {
	vfs.FS
	created func(manifest string)
}

func (m markers) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if base := m.PathBase(name); isManifestMarker(base) {
		m.created(base[len("marker.manifest.000000."):])
	}
	return m.FS.Create(name, c)
}

// TestNoteFollowsTheMarker checks that no manifest is noted before its marker is made. A
// power failure could else keep the note and lose the manifest, and the next start would
// make another one of the same name. A store that was opened has the note of its manifest.
func TestNoteFollowsTheMarker(t *testing.T) {
	t.Parallel()
	mem, made := vfs.NewMem(), 0
	fsys := markers{mem, func(manifest string) {
		made++
		if number := notedNumber(t, mem); fmt.Sprintf("MANIFEST-%06d", number) == manifest {
			t.Errorf("%s is noted before its marker is made", manifest)
		}
	}}
	for range 4 {
		db := openIn(t, "data", &Options{FS: fsys})
		for range 3 {
			commit(t, db, "t", int64(made*10+len(entriesOf(t, db, "t"))), 40)
			if err := db.engine.pebble.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if number := notedNumber(t, mem); fmt.Sprintf("MANIFEST-%06d", number) != currentManifest(t, mem, "data") {
			t.Errorf("manifest %d is noted, and %s is in use", number, currentManifest(t, mem, "data"))
		}
	}
	if made < 4 {
		t.Errorf("%d markers were made", made)
	}
}

// notedNumber returns the number of the manifest that is noted, 0 for none.
func notedNumber(t *testing.T, mem vfs.FS) uint64 {
	t.Helper()
	names, err := mem.List("data")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(names, manifestNote) {
		return 0
	}
	return binary.LittleEndian.Uint64(readAll(t, mem, "data/"+manifestNote))
}
