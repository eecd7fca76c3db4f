package local

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// harm changes the file whose name begins or ends with a text, the newest log for
// "newest.log".
func harm(t *testing.T, fsys vfs.FS, text string, how func(content []byte) []byte) {
	t.Helper()
	names, err := fsys.List("data")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	if text == "MANIFEST-" || text == "newest.log" {
		slices.Reverse(names) // an older one may stand beside the one that is in use
		text = strings.TrimPrefix(text, "newest")
	}
	for _, name := range names {
		if !strings.HasPrefix(name, text) && !strings.HasSuffix(name, text) {
			continue
		}
		name = fsys.PathJoin("data", name)
		content := readAll(t, fsys, name)
		if content = how(content); content == nil {
			err = fsys.Remove(name)
		} else {
			rewrite(t, fsys, name, content)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no file %q in %q", text, names)
}

func readAll(t *testing.T, fsys vfs.FS, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return content
}

// TestRepair harms a store, whose 40 values stand in a table and 3 in the log, in
// one file. It is not opened, or answers no wrong value; Check says what is
// damaged, and Repair saves the rest.
func TestRepair(t *testing.T) {
	t.Parallel()
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 1; return b }
	}
	for name, test := range map[string]struct {
		file  string
		how   func([]byte) []byte
		least int // values that can be saved
		want  string
	}{
		"Sound":         {"FORMAT", bytes.Clone, 43, ""},
		"TableGone":     {".sst", func([]byte) []byte { return nil }, 3, `it is missing, and held records from the entry of tenant "t" at `},
		"TableCut":      {".sst", func(b []byte) []byte { return b[:len(b)/2] }, 3, `, and held records from the entry of tenant "t" at `},
		"TableEmpty":    {".sst", func([]byte) []byte { return []byte{} }, 3, "sst"},
		"TableFlipped":  {".sst", func(b []byte) []byte { return flip(len(b) / 2)(b) }, 38, "checksum mismatch"},
		"ManifestBad":   {"MANIFEST-", func(b []byte) []byte { return append([]byte("xxxxxxxxxxxxxxxx"), b...) }, 43, "manifest"},
		"OptionsCut":    {"OPTIONS-", func(b []byte) []byte { return b[:len(b)/3] }, 43, ""},
		"LogFlipped":    {".log", flip(30), 42, ".log"},
		"LogGone":       {"newest.log", func([]byte) []byte { return nil }, 40, ".log is damaged: it is missing"},
		"FormatGone":    {"FORMAT", func([]byte) []byte { return nil }, 43, "format"},
		"FormatEmpty":   {"FORMAT", func([]byte) []byte { return []byte{} }, 43, "no format version"},
		"MarkerMissing": {"marker.manifest", func([]byte) []byte { return nil }, 43, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			fillBoth(t, mem)
			harm(t, mem, test.file, test.how)
			opts := &Options{FS: mem, Logger: slog.New(slog.DiscardHandler)}
			found, err := Check(t.Context(), "data", opts)
			if err != nil {
				t.Fatal(err)
			}
			if text := text(found); !strings.Contains(strings.ToLower(text), test.want) {
				t.Errorf("check says %q, want %q", text, test.want)
			}
			if found.Sound() != (name == "Sound") && name != "OptionsCut" {
				t.Errorf("sound: %v, %+v", found.Sound(), found)
			}
			if _, err := Repair(t.Context(), "data", "new", opts); err != nil {
				t.Fatal(err)
			}
			db := openIn(t, "new", opts)
			entries := entriesOf(t, db, "t")
			if len(entries) < test.least {
				t.Errorf("%d values were saved, want %d", len(entries), test.least)
			}
			for _, e := range entries {
				checkWhole(t, db, "t", e.Time/(hour/7), e)
			}
		})
	}
}

func text(f *Findings) string {
	var all []string
	for _, d := range f.Damage {
		all = append(all, d.Error())
	}
	return strings.Join(all, "\n")
}

// TestRepairThatIsCutShort interrupts a repair, and has one fail because the damaged directory is in use. What they
// leave is no store. The next repair begins it again.
func TestRepairThatIsCutShort(t *testing.T) {
	t.Parallel()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, ctx := range map[string]context.Context{"interrupted": gone, "in use": t.Context()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			fillBoth(t, mem)
			opts := &Options{FS: mem, Logger: slog.New(slog.DiscardHandler)}
			holder := io.Closer(io.NopCloser(nil))
			if name == "in use" {
				holder = openIn(t, "data", opts)
			}
			if _, err := Repair(ctx, "data", "new", opts); err == nil {
				t.Fatal("the repair succeeded")
			}
			wantRefusal(t, "new", opts, "cut short")
			if found, err := Check(t.Context(), "new", opts); err == nil && found.Sound() {
				t.Errorf("check says that the directory is sound: %+v", found)
			}
			if err := holder.Close(); err != nil {
				t.Fatal(err)
			}
			found, err := Repair(t.Context(), "data", "new", opts)
			if err != nil || !found.Sound() {
				t.Fatalf("%+v, %v", found, err)
			}
			if n := len(entriesOf(t, openIn(t, "new", opts), "t")); n != 43 {
				t.Errorf("%d values were saved, want 43", n)
			}
			if _, err := Repair(t.Context(), "data", "new", opts); err == nil || !strings.Contains(err.Error(), "not empty") {
				t.Errorf("a repair into a whole store: %v", err)
			}
		})
	}
}

// stuck is a file system that removes only files whose name begins as said.
type stuck struct {
	vfs.FS
	goes string
}

func (f stuck) RemoveAll(name string) error {
	if !strings.HasPrefix(f.PathBase(name), f.goes) {
		return errDisk
	}
	return f.FS.RemoveAll(name)
}

// TestRepairThatIsCutShortAgain interrupts a repair, and then a second one while it empties the directory. The directory is no store then.
func TestRepairThatIsCutShortAgain(t *testing.T) {
	t.Parallel()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, goes := range []string{"UNFINISHED", "FORMAT", "MANIFEST", "marker"} {
		t.Run(goes, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			fillBoth(t, mem)
			opts := &Options{FS: mem, Logger: slog.New(slog.DiscardHandler)}
			if _, err := Repair(gone, "data", "new", opts); err == nil {
				t.Fatal("the repair succeeded")
			}
			if _, err := Repair(t.Context(), "data", "new", &Options{FS: stuck{mem, goes}, Logger: opts.Logger}); !errors.Is(err, errDisk) {
				t.Fatalf("repeated: %v", err)
			}
			wantRefusal(t, "new", opts, "cut short")
			if found, err := Repair(t.Context(), "data", "new", opts); err != nil || !found.Sound() {
				t.Errorf("%+v, %v", found, err)
			}
		})
	}
}

// fillBoth makes a store whose values stand in a table, and three in the log.
func fillBoth(t *testing.T, mem vfs.FS) {
	t.Helper()
	db := openIn(t, "data", &Options{FS: mem})
	for at := range int64(40) {
		row, e, blob := sample("t", instant(at), sizeOf(at))
		if err := db.Commit(t.Context(), row, e, blob); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.engine.pebble.Flush(); err != nil {
		t.Fatal(err)
	}
	for at := int64(40); at < 43; at++ {
		row, e, blob := sample("t", instant(at), sizeOf(at))
		if err := db.Commit(t.Context(), row, e, blob); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRepairValueFile checks that what stands in tables and the log is saved of a directory
// that has lost its value file, and all is saved of one that has not.
func TestRepairValueFile(t *testing.T) {
	t.Parallel()
	for lost, want := range map[bool]int{false: 15, true: 7} {
		dir, to := golden(t, "format1tables"), filepath.Join(t.TempDir(), "new")
		if lost {
			if err := vfs.Default.Remove(filepath.Join(dir, "000006.blob")); err != nil {
				t.Fatal(err)
			}
			opts := &Options{Logger: slog.New(slog.DiscardHandler)}
			wantRefusal(t, dir, opts, ".blob")
		}
		found, err := Repair(t.Context(), dir, to, nil)
		if err != nil {
			t.Fatal(err)
		}
		if found.Entries < want || found.Sound() == lost {
			t.Errorf("lost %v: %+v", lost, found)
		}
		if db := openIn(t, to, nil); !lost {
			expectTables(t, db)
		}
	}
}
