package journal

import (
	"os"
	"path/filepath"
	"testing"
)

// TestID checks that a journal keeps its id, also in another directory, and that a journal that was
// removed, or whose file of the id is damaged, gets another one.
func TestID(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	idOf := func(opts *Options) string {
		j := mustOpen(t, dir, opts)
		defer mustClose(t, j)
		return j.ID()
	}
	if id := idOf(&Options{ReadOnly: true}); id != "" {
		t.Errorf("a directory that was never a journal has the id %q", id)
	}
	first := idOf(nil)
	if len(first) != idSize-1 || idOf(nil) != first || idOf(&Options{ReadOnly: true}) != first {
		t.Errorf("the id %q changes: %q, %q", first, idOf(nil), idOf(&Options{ReadOnly: true}))
	}
	dir = copyDir(t, dir)
	if id := idOf(nil); id != first {
		t.Errorf("id %q after a move, %q before", id, first)
	}
	for _, damaged := range []string{"", first, first + "x", "z" + first[1:] + "\n"} {
		writeFile(t, filepath.Join(dir, idName), []byte(damaged))
		if id := idOf(nil); len(id) != idSize-1 || id == first {
			t.Errorf("id %q of a file that holds %q", id, damaged)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if id := idOf(nil); len(id) != idSize-1 || id == first {
		t.Errorf("a new journal has the id %q, an old one %q", id, first)
	}
}

// TestIDOnAFullDisk checks that a journal whose id cannot be written takes records, and gets an id later.
func TestIDOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir, disk := t.TempDir(), &faulty{}
	disk.set(failing(errDisk, idName+newSuffix, "write"))
	j := mustOpen(t, dir, &Options{files: disk})
	mustAppend(t, j, "m", "b")
	if j.ID() != "" {
		t.Errorf("id %q", j.ID())
	}
	mustClose(t, j)
	if j = mustOpen(t, dir, nil); j.ID() == "" {
		t.Error("no id")
	}
	mustClose(t, j)
}
