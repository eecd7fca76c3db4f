package local

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/timeblob/timeblob/internal/tracing"
)

// Blobs is the blobs of a DB: a tier that can be the authority.
type Blobs struct{ db *DB }

// Blobs returns the store's blobs.
func (db *DB) Blobs() *Blobs { return &Blobs{db} }

// Get returns the blobs of the keys that are stored, yours; the others are
// absent from the map. With an error, which names the keys that could not be
// read, the map holds what could.
func (b *Blobs) Get(ctx context.Context, keys []string) (map[string][]byte, error) {
	ctx, getting := spans.Child(ctx, "Get")
	found := make(map[string][]byte, len(keys))
	err := b.db.read(ctx, func(e *engine) error {
		var faults []error
		for _, key := range keys {
			if err := ctx.Err(); err != nil {
				return errors.Join(append(faults, err)...)
			}
			faults = append(faults, e.fetch(key, found))
		}
		return errors.Join(faults...)
	})
	getting.Int(tracing.Keys, len(keys))
	getting.Int(tracing.Found, len(found))
	getting.End(err)
	return found, err
}

// fetch adds the blob of a key to found if it is stored.
func (e *engine) fetch(key string, found map[string][]byte) error {
	blob, err := e.get(blobKey(key))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("blob %q: %w", key, err)
	}
	found[key] = blob
	return nil
}

// Put stores a blob, durably, or returns index.ErrExists when the key is
// taken. A blob whose key index.ParseBlobKey does not read has no age and is
// kept for ever.
func (b *Blobs) Put(ctx context.Context, key string, blob []byte) error {
	return b.db.put(ctx, record{blobKey(key), blob})
}
