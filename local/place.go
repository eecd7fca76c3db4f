package local

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/timeblob/timeblob/index"
)

// spansOfBlock is how many spans of one tenant stand side by side. Frozen.
const spansOfBlock = 64

// blockOf returns the block of the place that begins at start. Frozen.
func blockOf(set index.PlaceSet, start int64) int64 {
	if set.Level <= 0 || int64(set.Level) > math.MaxInt64/spansOfBlock {
		return 0
	}
	return index.Floor(start, int64(set.Level)*spansOfBlock)
}

// blockKey returns the prefix of the keys of a set's places in a block.
func blockKey(set index.PlaceSet, block int64) []byte {
	key := appendOrdered([]byte{placeSpace}, int64(set.Level))
	key = appendOrdered(key, block)
	key = append(key, byte(len(set.Tenant)))
	return append(key, set.Tenant...)
}

// placeKey returns the key of one place.
func placeKey(set index.PlaceSet, start int64) []byte {
	return appendOrdered(blockKey(set, blockOf(set, start)), start)
}

// placeBlock returns the block in a place's key.
func placeBlock(key []byte) int64 { return ordered(key[1+8:]) }

// placeValue returns what is stored of a place.
func placeValue(p index.Place) []byte {
	value := binary.AppendUvarint(nil, uint64(len(p.ID)))
	value = append(value, p.ID...)
	value = binary.AppendVarint(value, p.Expires)
	return append(value, p.State...)
}

// parsePlace is the inverse of placeKey and placeValue, but for the set.
func parsePlace(key, value []byte) (index.Place, error) {
	id, n := binary.Uvarint(value)
	if n <= 0 || id > uint64(len(value)-n) {
		return index.Place{}, fmt.Errorf("place %x: its value is cut", key)
	}
	p := index.Place{Start: ordered(key[len(key)-8:]), ID: string(value[n : n+int(id)])}
	rest := value[n+int(id):]
	expires, n := binary.Varint(rest)
	if n <= 0 {
		return index.Place{}, fmt.Errorf("place %x: its value is cut", key)
	}
	p.Expires, p.State = expires, bytes.Clone(rest[n:])
	return p, nil
}

// checkSet refuses a tenant that no entry could have.
func checkSet(set index.PlaceSet) error {
	_, err := rowKey(index.Row{Tenant: set.Tenant})
	return err
}

// Places implements index.Places. It costs a seek for each 64 spans of the
// range in which any tenant has places, and a step for each place.
func (x *Index) Places(ctx context.Context, set index.PlaceSet, from, to int64) (found []index.Place, err error) {
	if err := checkSet(set); err != nil {
		return nil, err
	}
	if from >= to {
		return nil, ctx.Err()
	}
	lower, upper := placeKey(set, from), placeKey(set, to)
	err = x.db.read(ctx, func(e *engine) error {
		return e.each(ctx, lower, upper, func(it *pebble.Iterator) error {
			found, err = placesFrom(ctx, it, set, x.db.opts.Now())
			return err
		})
	})
	return found, err
}

// placesFrom walks over the blocks of a set's places. Between them stand the
// places of other tenants, which it skips with seeks.
func placesFrom(ctx context.Context, it *pebble.Iterator, set index.PlaceSet, now time.Time) (found []index.Place, err error) {
	for more := it.First(); more && ctx.Err() == nil; {
		prefix := blockKey(set, placeBlock(it.Key()))
		switch mine := bytes.HasPrefix(it.Key(), prefix); {
		case mine:
			value, err := it.ValueAndErr()
			if err != nil {
				return nil, err
			}
			p, err := parsePlace(it.Key(), value)
			if err != nil {
				return nil, err
			}
			if !p.Gone(now) {
				found = append(found, p)
			}
			more = it.Next()
		case bytes.Compare(it.Key(), prefix) < 0:
			more = it.SeekGE(prefix)
		default:
			more = it.SeekGE(after(it.Key()[:1+8+8])) // the next block that holds anything
		}
	}
	return found, ctx.Err()
}

// SwapPlace implements index.Places. It costs a synced write.
func (x *Index) SwapPlace(ctx context.Context, set index.PlaceSet, old string, next index.Place) (swapped bool, err error) {
	if err := checkSet(set); err != nil {
		return false, err
	}
	if next.ID == "" {
		return false, errors.New("the id of a place must not be empty")
	}
	key := placeKey(set, next.Start)
	err = x.db.change(ctx, []string{string(key)}, func(e *engine) (*pebble.Batch, error) {
		id, err := e.placeID(key, x.db.opts.Now())
		if err != nil || id != old {
			return nil, err
		}
		batch := e.pebble.NewBatch()
		if err := batch.Set(key, placeValue(next), nil); err != nil {
			return nil, errors.Join(err, batch.Close())
		}
		swapped = true
		return batch, nil
	})
	return swapped && err == nil, err
}

// placeID returns the ID that a place holds, "" when it is empty.
func (e *engine) placeID(key []byte, now time.Time) (string, error) {
	value, err := e.get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	p, err := parsePlace(key, value)
	if p.Gone(now) {
		return "", err
	}
	return p.ID, err
}

// settings returns the state at index.SettingsSet, nil where there is none.
func (e *engine) settings() ([]byte, error) {
	key := placeKey(index.SettingsSet, 0)
	value, err := e.get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := parsePlace(key, value)
	return p.State, err
}

// mayPut refuses a late entry of a writer that goes past levels.
func (db *DB) mayPut(ctx context.Context, t int64) error {
	if index.Holds(ctx) {
		return nil
	}
	return db.read(ctx, func(e *engine) error {
		settings, err := e.settings()
		if err != nil {
			return err
		}
		return index.CheckPut(ctx, settings, t, db.opts.Now())
	})
}

// Waits implements index.Waiter.
func (x *Index) Waits() bool { return true }

// StoreTime implements index.Places: the store is this process.
func (x *Index) StoreTime() time.Time { return x.db.opts.Now() }
