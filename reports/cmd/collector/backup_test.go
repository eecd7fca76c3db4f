package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBackupAndRepair backs up a store that a collector holds, goes back to the
// copy, damages it, and saves the rest.
func TestBackupAndRepair(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, copied, saved := filepath.Join(dir, "data"), filepath.Join(dir, "copied"), filepath.Join(dir, "saved")
	in := filepath.Join(dir, "1700000000000000000.msgpack.gz")
	write(t, in, sample("host", 1))
	must(t, "import", "--data", data, in)

	s := serveWithin(t, "--data", data)
	if r := collect(t, "check", data); r.code != 1 || !strings.Contains(r.stderr, "holds it") {
		t.Errorf("check of a directory in use: exit %d: %s", r.code, r.stderr)
	}
	must(t, "backup", "--data", data, "--to", copied)
	if r := collect(t, "backup", "--data", data, "--to", copied); r.code != 1 || !strings.Contains(r.stderr, "there already") {
		t.Errorf("a second backup: exit %d: %s", r.code, r.stderr)
	}
	if s.stop() != 0 {
		t.Error(s.said())
	}
	if said := must(t, "check", copied); !strings.Contains(said, "1 value can be read") {
		t.Errorf("check of the copy: %s", said)
	}
	must(t, "backup", "--data", copied, "--to", filepath.Join(dir, "again")) // without a collector

	damage(t, copied, "MANIFEST-*")
	if r := collect(t, "check", copied); r.code != 1 || !strings.Contains(r.stdout, "damaged:") {
		t.Errorf("check of what is damaged: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	if r := collect(t, "repair", "--data", copied, "--to", saved); r.code != 1 || !strings.Contains(r.stdout, "1 value can be read") {
		t.Errorf("repair: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	must(t, "check", saved)
	answer := must(t, "query", "--json", "--data", saved, "--at", "1700000001")
	if !strings.Contains(answer, "host") {
		t.Errorf("the saved store answers %.200s", answer)
	}
}

// damage overwrites the first bytes of each file that a pattern matches.
func damage(t *testing.T, dir, pattern string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append([]byte("damaged"), content[7:]...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
