package main

import (
	"context"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/tiered"
)

// All that depends on this repository's API stands in this file.

// ourWeight is what tiered.Store adds to the size of each value in memory, apart from its key.
const ourWeight = 160

type oursCache struct {
	*tiered.Store[[]byte]
	memory *sourceTier
}

// sourceTier answers every key from the source.
type sourceTier struct{ source *source }

func (t *sourceTier) Get(_ context.Context, keys []string) ([][]byte, error) {
	blobs := make([][]byte, len(keys))
	value := t.source.fetch(len(keys))
	for i := range blobs {
		blobs[i] = value
	}
	return blobs, nil
}

func (*sourceTier) Put(context.Context, string, []byte) error { return nil }

// bytesCodec keeps blobs as they are.
type bytesCodec struct{}

func (bytesCodec) Encode(v []byte) ([]byte, error)    { return v, nil }
func (bytesCodec) Decode(blob []byte) ([]byte, error) { return blob, nil }

func openOurs(entries int, s *source) (cache, error) {
	tier := &sourceTier{source: s}
	store, err := tiered.New(bytesCodec{}, tier, &tiered.Options[[]byte]{
		Memory: int64(entries) * (valueBytes + int64(len(keyOf(0))) + ourWeight),
	})
	return oursCache{store, tier}, err
}

// get asks through to a tier that counts: what it fetched was not in memory.
func (c oursCache) get(key string) bool {
	before := c.memory.source.fetched.Load()
	_, ok, err := c.One(context.Background(), blob.Ref{Key: key})
	return err == nil && ok && c.memory.source.fetched.Load() == before
}

func (c oursCache) batch(keys []string) func(context.Context) (int, error) {
	refs := make([]blob.Ref, len(keys))
	for i, key := range keys {
		refs[i].Key = key
	}
	return func(ctx context.Context) (int, error) {
		results, err := c.Get(ctx, refs)
		found := 0
		for i := range results {
			if results[i].Found {
				found++
			}
		}
		return found, err
	}
}

type oursStore struct {
	db  *local.DB
	dir string
	row index.Row
	at  int64
}

func openOursStore(dir string) (store, error) {
	at := time.Now().UnixNano()
	s := &oursStore{dir: dir, row: index.RowAt("tenant", at), at: at}
	return s, s.open()
}

func (s *oursStore) open() (err error) {
	s.db, err = local.Open(s.dir, &local.Options{CacheBytes: storeCache})
	return err
}

func (s *oursStore) reopen() error {
	if err := s.db.Close(); err != nil {
		return err
	}
	return s.open()
}

func (s *oursStore) key(i int) string {
	return s.row.BlobKey(s.row.Start() + int64(i)*1000)
}

func (s *oursStore) get(keys []string) ([][]byte, error) {
	return s.db.Blobs().Get(context.Background(), keys)
}

func (s *oursStore) commit(i int, value []byte) error {
	at := s.row.Start() + int64(i)*1000
	return s.db.Commit(context.Background(), s.row, index.Entry{Time: at, Key: s.key(i)}, value)
}

func (s *oursStore) close() error { return s.db.Close() }
