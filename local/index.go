package local

import (
	"context"
	"iter"

	"github.com/cockroachdb/pebble/v2"
	"github.com/timeblob/timeblob/index"
)

// Index is the entries of a DB.
type Index struct{ db *DB }

var (
	_ index.Index        = (*Index)(nil)
	_ index.Scanner      = (*Index)(nil)
	_ index.Deleter      = (*Index)(nil)
	_ index.TenantLister = (*Index)(nil)
	_ index.Places       = (*Index)(nil)
	_ index.Waiter       = (*Index)(nil)
	_ index.Versioned    = (*Index)(nil)
)

// Index returns the store's entries.
func (db *DB) Index() *Index { return &Index{db} }

// Put adds an entry, durably, or returns index.ErrExists when the row has one at the same instant. Tenants may be any string of up to 255 bytes.
func (x *Index) Put(ctx context.Context, row index.Row, e index.Entry) error {
	key, err := entryKey(row, e.Time)
	if err != nil {
		return err
	}
	if err := x.db.mayPut(ctx, e.Time); err != nil {
		return err
	}
	return x.db.put(ctx, x.db.save, record{key, x.db.entryValue(e)})
}

// Query returns the row's entries with from ≤ Time < to in ascending order.
// It costs one seek and a step an entry.
func (x *Index) Query(ctx context.Context, row index.Row, from, to int64) ([]index.Entry, error) {
	prefix, err := rowKey(row)
	if err != nil {
		return nil, err
	}
	ctx, querying := spans.Child(ctx, "Query")
	var entries []index.Entry
	err = x.db.read(ctx, func(e *engine) error {
		entries, err = e.entries(ctx, prefix, from, to)
		return err
	})
	querying.Int(spanEntries, len(entries))
	querying.End(err)
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// Scan implements index.Scanner; see DB.Entries.
func (x *Index) Scan(ctx context.Context, tenant string, from, to int64) iter.Seq2[index.Entry, error] {
	return x.db.Entries(ctx, tenant, from, to)
}

// entries returns what a row holds from from to to.
func (e *engine) entries(ctx context.Context, row []byte, from, to int64) (found []index.Entry, err error) {
	if to <= from {
		return nil, nil
	}
	lower := appendOrdered(row[:len(row):len(row)], from)
	upper := appendOrdered(row[:len(row):len(row)], to)
	err = e.each(ctx, lower, upper, func(it *pebble.Iterator) error {
		for it.First(); it.Valid() && ctx.Err() == nil; it.Next() {
			entry, err := entryAt(it)
			if err != nil {
				return err
			}
			found = append(found, entry)
		}
		return ctx.Err()
	})
	return found, err
}

func entryAt(it *pebble.Iterator) (index.Entry, error) {
	_, t, err := parseEntryKey(it.Key())
	if err != nil {
		return index.Entry{}, err
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return index.Entry{}, err
	}
	return parseEntryValue(t, value)
}

// Version implements index.Versioned: no other process can write the directory.
func (x *Index) Version(tenant string, from, to int64) (version uint64, ok bool) {
	if !x.db.answers() {
		return 0, false
	}
	return x.db.versions.Version(tenant, from, to)
}

// writing says that a batch is about to be written, and returns what says that it
// was, or that its writing failed. A store without versions counts nothing.
func writing(versions *index.Versions, batch *pebble.Batch) (written func()) {
	if versions == nil {
		return func() {}
	}
	rows, all := touched(batch)
	if all {
		versions.BeginAll()
		return versions.EndAll
	}
	versions.Begin(rows...)
	return func() { versions.End(rows...) }
}

// touched returns the rows whose entries and places a batch changes. All is true
// where the batch removes ranges.
func touched(batch *pebble.Batch) (rows []index.Row, all bool) {
	for r := batch.Reader(); ; {
		kind, key, _, more, err := r.Next()
		switch {
		case !more && err == nil:
			return rows, false
		case err != nil || kind != pebble.InternalKeyKindSet && kind != pebble.InternalKeyKindDelete:
			return nil, true
		case key[0] == entrySpace || key[0] == placeSpace:
			row, err := rowOf(key)
			if err != nil {
				return nil, true
			}
			rows = append(rows, row)
		}
	}
}

// rowOf returns the row of an entry, or the row that holds the start of a place.
func rowOf(key []byte) (row index.Row, err error) {
	if key[0] == entrySpace {
		row, _, err = parseEntryKey(key)
		return row, err
	}
	const tenant = 1 + 8 + 8 + 1 // after space, level, block and length
	return index.RowAt(string(key[tenant:len(key)-8]), ordered(key[len(key)-8:])), nil
}
