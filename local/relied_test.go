package local

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRely(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	relied := func() Journal {
		t.Helper()
		j, err := Relied(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	if j := relied(); j != (Journal{}) {
		t.Errorf("an empty directory relies on %v", j)
	}
	db, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Journal{{"one", "/a place"}, {"two", "/b"}, {}, {"three", ""}} {
		if err := db.Rely(want); err != nil || relied() != want {
			t.Errorf("relies on %v, want %v: %v", relied(), want, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if j := relied(); j.ID != "three" {
		t.Errorf("relies on %v after Close", j)
	}
	if err := os.WriteFile(filepath.Join(dir, reliedName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if j := relied(); j.ID == "" {
		t.Error("a damaged file counts as none")
	}
}
