package local

import (
	"bytes"
	"flag"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/timeblob/timeblob/internal/racetest"
)

var everyByte = flag.Bool("every", false, "TestEveryFile flips and cuts each byte, and not one of 37, or of 149 under the race detector")

// TestEveryFile flips bytes of each file of a store, and cuts the file there. The store's last records stand in a table and in
// the log, or without a log in a table that the last record of the manifest names. The store is not opened, or has every value,
// or a read is an error; Check then says what is damaged.
func TestEveryFile(t *testing.T) {
	t.Parallel()
	for name, noLog := range map[string]bool{"Log": false, "NoLog": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testEveryFile(t, noLog)
		})
	}
}

func testEveryFile(t *testing.T, noLog bool) {
	mem := vfs.NewMem()
	fillSmall(t, mem, noLog)
	names, err := mem.List("data")
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, name := range names {
		files[name] = readAll(t, mem, mem.PathJoin("data", name))
	}
	for name, content := range files {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step := 37
			if racetest.Enabled {
				step = 149
			}
			if *everyByte {
				step = 1
			}
			if harmTold(t, files, name, "whole", -1, content) {
				t.Fatal("a store without damage is called damaged")
			}
			told := 0
			for at := 0; at < len(content); at += step {
				flipped := bytes.Clone(content)
				flipped[at] ^= 1 << (at % 8)
				for how, harmed := range map[string][]byte{"flipped": flipped, "cut": content[:at]} {
					if harmTold(t, files, name, how, at, harmed) {
						told++
					}
				}
			}
			t.Logf("%d bytes, told %d times", len(content), told)
		})
	}
}

// fillSmall makes a store with values in a table and in the log.
func fillSmall(t *testing.T, mem vfs.FS, noLog bool) {
	t.Helper()
	db := openIn(t, "data", &Options{FS: mem, NoLog: noLog})
	for at := range int64(smallStore) {
		row, e, blob := sample("t", instant(at), 40)
		if err := db.Commit(t.Context(), row, e, blob); err != nil {
			t.Fatal(err)
		}
		if at == smallStore/2 || noLog {
			if err := db.engine.pebble.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

const smallStore = 6

// harmTold harms one file of a new store, and fails unless the damage is told or nothing is lost.
func harmTold(t *testing.T, files map[string][]byte, harmed, how string, at int, content []byte) (told bool) {
	t.Helper()
	mem := vfs.NewMem()
	if err := mem.MkdirAll("data", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, whole := range files {
		if name == harmed {
			whole = content
		}
		rewrite(t, mem, mem.PathJoin("data", name), whole)
	}
	opts := &Options{FS: mem, Logger: slog.New(slog.DiscardHandler)}
	found, err := Check(t.Context(), "data", opts)
	sound := err == nil && found.Sound()
	whole := answersAll(t, opts)
	if sound && !whole {
		t.Errorf("%s %s at %d: check finds nothing, and the store does not answer", harmed, how, at)
	}
	return !sound
}

// answersAll opens the store and reads all of it. It fails for a short answer, and returns false for an error.
func answersAll(t *testing.T, opts *Options) bool {
	t.Helper()
	db, err := Open("data", opts)
	if err != nil {
		return false
	}
	defer db.Close() //nolint:errcheck // a damaged store may say so at its end
	n := 0
	for at := range int64(smallStore) {
		row, want, blob := sample("t", instant(at), 40)
		entries, err := db.Index().Query(t.Context(), row, want.Time, want.Time+1)
		if err != nil {
			return false
		}
		if len(entries) != 1 {
			t.Errorf("no entry at %d, and no error", at)
			continue
		}
		got, err := db.Blobs().Get(t.Context(), []string{entries[0].Key})
		if err != nil {
			return false
		}
		if !bytes.Equal(got[0], blob) {
			t.Errorf("value %d is %q", at, got[0])
		}
		n++
	}
	return n == smallStore
}
