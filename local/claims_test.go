package local

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A put waits while another one is about to take a key of its: else both would
// find it free, and the later would overwrite.
func TestPutsOfOneKeyTakeTurns(t *testing.T) {
	t.Parallel()
	row, e, blob := sample("a", 3*hour, 100)
	entry, err := entryKey(row, e.Time)
	if err != nil {
		t.Fatal(err)
	}
	index := func(ctx context.Context, db *DB) error { return db.Index().Put(ctx, row, e) }
	store := func(ctx context.Context, db *DB) error { return db.Blobs().Put(ctx, e.Key, blob) }
	commit := func(ctx context.Context, db *DB) error { return db.Commit(ctx, row, e, blob) }
	for name, c := range map[string]struct {
		held []byte
		put  func(context.Context, *DB) error
	}{
		"an entry":         {entry, index},
		"a blob":           {blobKey(e.Key), store},
		"a commit's entry": {entry, commit},
		"a commit's blob":  {blobKey(e.Key), commit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openMem(t)
			free, err := db.claims.Claim(t.Context(), string(c.held))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if err := c.put(ctx, db); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("while another holds the key: %v, want it to wait until its context ends", err)
			}
			free()
			if err := c.put(t.Context(), db); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}
