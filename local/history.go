package local

import (
	"context"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/timeblob/timeblob/index"
)

// Tenants returns the tenants that have entries or roll-ups, sorted. It costs one
// seek a row, and one for each 64 spans of a tenant's level.
func (db *DB) Tenants(ctx context.Context) ([]string, error) {
	seen := make(map[string]struct{})
	err := db.read(ctx, func(e *engine) error {
		from := hourKey(entrySpace, math.MinInt64)
		for {
			row, ok, err := e.nextRow(ctx, from)
			if err != nil {
				return err
			}
			if !ok {
				return e.placeTenants(ctx, seen)
			}
			seen[row.Tenant] = struct{}{}
			if from, err = afterRow(row); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(seen)), nil
}

// placeTenants adds the tenants of places that name a blob. It seeks past the places
// of a tenant that is there already.
func (e *engine) placeTenants(ctx context.Context, seen map[string]struct{}) error {
	return e.each(ctx, []byte{placeSpace}, []byte{placeSpace + 1}, func(it *pebble.Iterator) error {
		for more := it.First(); more && ctx.Err() == nil; {
			prefix := it.Key()[:len(it.Key())-8]
			tenant := prefix[1+8+8+1:]
			if _, again := seen[string(tenant)]; again {
				more = it.SeekGE(after(prefix))
				continue
			}
			value, err := it.ValueAndErr()
			if err != nil {
				return err
			}
			p, err := parsePlace(it.Key(), value)
			if err != nil {
				return err
			}
			if p.Blob() != "" {
				seen[string(tenant)] = struct{}{}
			}
			more = it.Next()
		}
		return ctx.Err()
	})
}

// Entries returns the tenant's entries with from ≤ Time < to in ascending
// order, as far as they were put in the row of their instant. It yields one error
// at most, and nothing after it. What is put or removed meanwhile may or may
// not be seen. The store may be used in the loop, and closed. It costs one
// seek an hour that has entries of any tenant, and memory for one row.
func (db *DB) Entries(ctx context.Context, tenant string, from, to int64) iter.Seq2[index.Entry, error] {
	return func(yield func(index.Entry, error) bool) {
		for row := index.RowAt(tenant, from); from < to; {
			entries, next, err := db.rowFrom(ctx, row, from, to)
			if err != nil {
				yield(index.Entry{}, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			if next.Hour == row.Hour || next.Start() >= to {
				return
			}
			row = next
		}
	}
}

// rowFrom returns the row's entries in [from, to), and the tenant's row of the
// next hour in which anyone has entries, the same row when there is none.
func (db *DB) rowFrom(ctx context.Context, row index.Row, from, to int64) (found []index.Entry, next index.Row, err error) {
	prefix, err := rowKey(row)
	if err != nil {
		return nil, row, err
	}
	next = row
	err = db.read(ctx, func(e *engine) error {
		if found, err = e.entries(ctx, prefix, from, to); err != nil {
			return err
		}
		other, ok, err := e.nextRow(ctx, after(hourKey(entrySpace, row.Hour)))
		if ok {
			next.Hour = other.Hour
		}
		return err
	})
	return found, next, err
}

// nextRow returns the row of the first entry from a key on, if there is one.
func (e *engine) nextRow(ctx context.Context, from []byte) (row index.Row, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return row, false, err
	}
	err = e.each(ctx, from, []byte{entrySpace + 1}, func(it *pebble.Iterator) error {
		if !it.First() {
			return nil
		}
		ok = true
		row, _, err = parseEntryKey(it.Key())
		return err
	})
	return row, ok && err == nil, err
}

// afterRow returns the first key after all of the row's.
func afterRow(row index.Row) ([]byte, error) {
	prefix, err := rowKey(row)
	if err != nil {
		return nil, err
	}
	return after(prefix), nil
}
