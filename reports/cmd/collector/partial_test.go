package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/local"
)

// TestPartialQuery loses one of two stored reports: a query fails and names it, or
// answers without it and warns.
func TestPartialQuery(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	for _, name := range []string{"1700000000000000000", "1700000001000000000"} {
		path := filepath.Join(dir, name+".msgpack.gz")
		write(t, path, sample(name, 1))
		must(t, "import", "--data", data, path)
	}
	key := loseOne(t, data)
	question := []string{"query", "--json", "--data", data, "--at", "1700000002"}
	if r := collect(t, question...); r.code == 0 || !strings.Contains(r.stderr, key) {
		t.Errorf("exact: exit %d: %s", r.code, r.stderr)
	}
	r := collect(t, append(question, "--partial")...)
	if r.code != 0 || !json.Valid([]byte(r.stdout)) || !strings.Contains(r.stdout, "1700000001") ||
		!strings.Contains(r.stderr, "without the entry "+key+" of 2023-11-14T22:13:20Z") {
		t.Errorf("partial: exit %d: %.500s\n%s", r.code, r.stdout, r.stderr)
	}
}

// loseOne deletes the blob of the first entry in a directory, and returns its key.
func loseOne(t *testing.T, data string) string {
	t.Helper()
	db, err := local.Open(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	at := time.Unix(1700000000, 0)
	row := index.Row{Hour: at.Unix() / 3600}
	entries, err := db.Index().Query(t.Context(), row, at.UnixNano(), at.UnixNano()+1)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	if err := db.Blobs().Delete(t.Context(), []string{entries[0].Key}); err != nil {
		t.Fatal(err)
	}
	return entries[0].Key
}
