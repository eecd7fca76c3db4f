package local

import (
	"fmt"
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

func TestTook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	took := func(journal string, last, want uint64) {
		t.Helper()
		if before, err := db.Took(journal, last); err != nil || before != want {
			t.Errorf("%d records of %s were taken before, want %d: %v", before, journal, want, err)
		}
	}
	took("one", 5, 0)
	took("two", 1<<63, 0)
	took("one", 7, 5)
	took("one", 3, 7)
	took("on", 1, 0)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(dir, nil); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	took("one", 3, 3)
	took("two", 4, 1<<63)
	for i := range maxTaken - 1 {
		took(fmt.Sprint("j", i), 1, 0)
	}
	took("two", 4, 4)
	took("one", 9, 0) // it was the oldest
	for text, want := range map[string]uint64{"": 0, "one": 0, "one x\n\n": 0, "one 99999999999999999999\n": 1<<64 - 1, "\none 8": 8} {
		if err := os.WriteFile(filepath.Join(dir, takenName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		took("one", 9, want)
		took("one", 9, 9)
	}
}
