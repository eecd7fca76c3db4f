package local

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/timeblob/timeblob/index"
)

// Delete implements index.Deleter: all of the entries go in one synced write.
func (x *Index) Delete(ctx context.Context, row index.Row, entries []index.Entry) error {
	keys := make([]string, len(entries))
	for i, e := range entries {
		key, err := entryKey(row, e.Time)
		if err != nil {
			return err
		}
		keys[i] = string(key)
	}
	return x.db.change(ctx, distinct(keys), func(e *engine) (*pebble.Batch, error) {
		settings, err := e.settings()
		if err = errors.Join(err, index.CheckDelete(ctx, settings)); err != nil {
			return nil, err
		}
		batch := e.pebble.NewBatch()
		for i, entry := range entries {
			if err := e.deleteEntry(batch, []byte(keys[i]), entry); err != nil {
				return nil, errors.Join(err, batch.Close())
			}
		}
		return batch, nil
	})
}

// deleteEntry adds the removal of an entry to the batch, unless it is gone or
// its instant holds another entry.
func (e *engine) deleteEntry(batch *pebble.Batch, key []byte, entry index.Entry) error {
	value, err := e.get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	is, err := parseEntryValue(entry.Time, value)
	if err != nil || !is.Same(entry) {
		return err
	}
	return batch.Delete(key, nil)
}

// Delete removes the blobs of keys, in one synced write. A key without a blob
// is no error.
func (b *Blobs) Delete(ctx context.Context, names []string) error {
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = string(blobKey(name))
	}
	return b.db.change(ctx, distinct(keys), func(e *engine) (*pebble.Batch, error) {
		batch := e.pebble.NewBatch()
		for _, key := range keys {
			if err := batch.Delete([]byte(key), nil); err != nil {
				return nil, errors.Join(err, batch.Close())
			}
		}
		return batch, nil
	})
}

// List implements tiered.Lister. It costs two seeks for each hour from from to to
// that has blobs of anyone, and a step for each key that it yields. It yields no
// keys without an instant.
func (b *Blobs) List(ctx context.Context, prefix string, from, to int64) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		hour, last := index.RowAt("", from).Hour, index.RowAt("", to-1).Hour
		for from < to && hour <= last {
			var keys []string
			err := b.db.read(ctx, func(e *engine) (err error) {
				keys, hour, err = e.keysFrom(ctx, prefix, hour)
				return err
			})
			if err != nil {
				yield("", err)
				return
			}
			for _, key := range keys {
				if t, err := index.ParseBlobKey(key); err == nil && t >= from && t < to && !yield(key, nil) {
					return
				}
			}
		}
	}
}

// keysFrom returns the keys with a prefix of the first hour with blobs from an
// hour on, and the hour after that one.
func (e *engine) keysFrom(ctx context.Context, prefix string, hour int64) (keys []string, next int64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	next = math.MaxInt64
	err = e.each(ctx, hourKey(blobSpace, hour), []byte{blobSpace + 1}, func(it *pebble.Iterator) error {
		if !it.First() {
			return nil
		}
		found := ordered(it.Key()[1:])
		next = found + 1
		whole := append(hourKey(blobSpace, found), prefix...)
		for ok := it.SeekGE(whole); ok && bytes.HasPrefix(it.Key(), whole); ok = it.Next() {
			keys = append(keys, string(it.Key()[hourPrefix:]))
		}
		return nil
	})
	return keys, next, err
}

// distinct returns each key once.
func distinct(keys []string) []string {
	seen := make(map[string]struct{}, len(keys))
	var once []string
	for _, key := range keys {
		if _, again := seen[key]; !again {
			seen[key] = struct{}{}
			once = append(once, key)
		}
	}
	return once
}

// Tenants implements index.TenantLister; see DB.Tenants.
func (x *Index) Tenants(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		all, err := x.db.Tenants(ctx)
		if err != nil {
			yield("", err)
			return
		}
		for _, tenant := range all {
			if !yield(tenant, nil) {
				return
			}
		}
	}
}
