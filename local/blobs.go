package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

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

// wanted is a blob that a batch asks for.
type wanted struct {
	at  int    // its index in the batch
	key []byte // its key in the store
}

// blobsOf reads the blobs of names into blobs, by index. It returns how many it
// found, and an error. With several names, the error names each blob that could
// not be read.
func (e *engine) blobsOf(ctx context.Context, names []string, blobs [][]byte) (found int, err error) {
	var faults []error
	read := func(w wanted, value []byte, err error) {
		switch {
		case err != nil && len(names) == 1: // the caller names it
			faults = append(faults, err)
		case err != nil:
			faults = append(faults, fmt.Errorf("blob %q: %w", names[w.at], err))
		case value != nil:
			blobs[w.at] = value
			found++
		}
	}
	sound := slices.DeleteFunc(descending(names), func(w wanted) bool {
		err := e.fuse.damage.unreadable(w.key)
		if err != nil {
			read(w, nil, err)
		}
		return err != nil
	})
	err = e.getMany(ctx, sound, func(w wanted, value []byte, err error) {
		e.fuse.damage.noteRead(w.key, err)
		read(w, value, err)
	})
	if err != nil {
		faults = append(faults, err)
	}
	return found, errors.Join(faults...)
}

// descending returns the keys of names, the last in the store's order first.
func descending(names []string) []wanted {
	all, length := make([]wanted, len(names)), 0
	for _, name := range names {
		length += hourPrefix + len(name)
	}
	keys := make([]byte, 0, length) // one allocation for all keys
	for i, name := range names {
		begin := len(keys)
		keys = appendBlobKey(keys, name)
		all[i] = wanted{i, keys[begin:len(keys):len(keys)]}
	}
	slices.SortFunc(all, func(a, b wanted) int { return bytes.Compare(b.key, a.key) })
	return all
}

// getMany calls read with the value of each key, nil for an absent one, or with
// the error of this one key. The keys must descend. Values are yours. One
// iterator serves them all: neighbours in time are neighbours in the tables.
//
// An iterator that seeks a larger key than before steps over four values
// before it looks into the table's index, and loads their blocks, mostly for
// nothing. It never does so for a smaller key.
func (e *engine) getMany(ctx context.Context, all []wanted, read func(w wanted, value []byte, err error)) error {
	if len(all) == 0 {
		return nil
	}
	if len(all) == 1 {
		value, err := e.get(all[0].key)
		if errors.Is(err, pebble.ErrNotFound) {
			err = nil
		}
		read(all[0], value, err)
		return nil
	}
	it, err := e.iterator(ctx, all[len(all)-1].key, append(all[0].key, 0))
	if err != nil {
		return err
	}
	var s slab
	for i := 0; i < len(all) && err == nil; i++ {
		if err = ctx.Err(); err == nil {
			value, err := seek(it, all[i].key, &s)
			read(all[i], value, err)
		}
	}
	return errors.Join(err, it.Close())
}

// seek returns the value of a key, nil when it is absent.
func seek(it *pebble.Iterator, key []byte, s *slab) (mine []byte, err error) {
	defer raised(&err)
	if !it.SeekPrefixGE(key) {
		return nil, it.Error()
	}
	if !bytes.Equal(it.Key(), key) {
		return nil, nil
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return nil, err
	}
	return s.copy(value), nil
}

// A slab has slabSize bytes. A value of more than largeValue bytes has memory of
// its own. A slab of 64 kB takes longer, because the heap locks for each.
const slabSize, largeValue = 32 << 10, 8 << 10

// slab is memory for copies of small values. One allocation serves several of
// them, so who keeps one of them keeps at most slabSize bytes.
type slab struct{ used []byte }

func (s *slab) copy(value []byte) []byte {
	if len(value) > largeValue {
		return bytes.Clone(value)
	}
	if s.used == nil || len(value) > cap(s.used)-len(s.used) { // also for an empty value, which is not nil
		s.used = make([]byte, 0, slabSize)
	}
	begin := len(s.used)
	s.used = append(s.used, value...)
	return s.used[begin:len(s.used):len(s.used)]
}
