package local

import (
	"context"

	"github.com/timeblob/timeblob/internal/tracing"
)

// Blobs is the blobs of a DB: a tier that can be the authority.
type Blobs struct{ db *DB }

// Blobs returns the store's blobs.
func (db *DB) Blobs() *Blobs { return &Blobs{db} }

// Get returns the blob of each key, by index; nil for a key that is not
// stored. The blobs are the caller's. An error names the keys that could not be
// read; Get then returns the other blobs.
func (b *Blobs) Get(ctx context.Context, keys []string) ([][]byte, error) {
	ctx, getting := spans.Child(ctx, "Get")
	found, blobs := 0, make([][]byte, len(keys))
	err := b.db.read(ctx, func(e *engine) (err error) {
		found, err = e.blobsOf(ctx, keys, blobs)
		return err
	})
	getting.Int(tracing.Keys, len(keys))
	getting.Int(tracing.Found, found)
	getting.End(err)
	return blobs, err
}

// Put stores a blob, durably, or returns index.ErrExists when the key is
// taken. A blob whose key index.ParseBlobKey does not read has no age and is
// kept for ever.
func (b *Blobs) Put(ctx context.Context, key string, blob []byte) error {
	return b.db.put(ctx, b.db.save, record{blobKey(key), blob})
}
