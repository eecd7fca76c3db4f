package erase

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/timeblob/timeblob/index"
)

// Blobs is a blob store that deletes.
type Blobs interface {
	// Delete removes the blobs of keys. A key without a blob is no error.
	Delete(ctx context.Context, keys []string) error
}

// lister is a blob store that lists keys; see tiered.Lister.
type lister interface {
	List(ctx context.Context, prefix string, from, to int64) iter.Seq2[string, error]
}

// entryLister is an index that reads a tenant's entries of any range without
// being a Scanner, because that costs it more than a query of each row.
type entryLister interface {
	Entries(ctx context.Context, tenant string, from, to int64) iter.Seq2[index.Entry, error]
}

// Options of an Eraser. All must be set but Progress, Deleter and Spans.
type Options struct {
	Wait     time.Duration // between the removal of entries and the removal of their blobs
	Round    int           // entries of a round
	Progress func(Done)    // called by one goroutine at a time
	Now      func() time.Time
	Deleter  index.Deleter // removes the entries; nil: the index does
	Spans    Spans         // nil: there are no roll-ups
}

// Spans are what the roll-ups of an index are told of a deletion.
type Spans interface {
	// Drop prepares the deletion of a tenant's range. When it returns an error the
	// range may not be deleted, and nothing has changed.
	Drop(ctx context.Context, tenant string, from, to int64) error
	// Count returns how many roll-ups the spans that touch a range have, and the
	// bytes of their blobs.
	Count(ctx context.Context, tenant string, from, to int64) (rollUps int, bytes int64, err error)
	// Replaced returns the keys of the range's roll-ups that nobody reads any
	// more once the longest question has ended.
	Replaced(ctx context.Context, tenant string, from, to int64) ([]string, error)
}

// Done is what was deleted.
type Done struct {
	Entries int // removed from the index
	Blobs   int // deleted blobs, of entries and orphans
	Orphans int // deleted blobs that no entry named
	RollUps int // deleted roll-ups, those included that were replaced before; a few may have been gone
}

// Found is what a range holds.
type Found struct {
	Entries     int
	Bytes       int64     // of their blobs, as far as the lengths are known
	First, Last time.Time // the instants of the first and the last entry
	RollUps     int       // of the spans that touch the range
	RollUpBytes int64     // of the roll-ups' blobs
}

// LeftError says that entries are removed and that their blobs may be left.
// Deleting the same range again deletes them where the blob store lists its
// keys.
type LeftError struct {
	Tenant string
	Keys   []string // of the blobs that may be left; no entry names them
	Err    error
}

func (e *LeftError) Error() string {
	return fmt.Sprintf("tenant %q: %d blobs without an entry may be left, delete the range again: %v", e.Tenant, len(e.Keys), e.Err)
}

func (e *LeftError) Unwrap() error { return e.Err }

// UnsupportedError says that a store cannot do what a deletion needs. It is
// errors.ErrUnsupported.
type UnsupportedError struct{ What string }

func (e *UnsupportedError) Error() string { return "delete: " + e.What }

func (e *UnsupportedError) Unwrap() error { return errors.ErrUnsupported }

// Eraser deletes from an index and a blob store.
type Eraser struct {
	index   index.Index
	deleter index.Deleter
	blobs   Blobs
	opts    Options
}

// New returns an Eraser. Its error is an *UnsupportedError for an index or a
// blob store that cannot delete.
func New(idx index.Index, blobs any, o Options) (*Eraser, error) {
	deleter, ok := idx.(index.Deleter)
	if !ok {
		return nil, &UnsupportedError{fmt.Sprintf("the index, a %T, cannot remove entries: it is no index.Deleter", idx)}
	}
	able, ok := blobs.(Blobs)
	if !ok {
		return nil, &UnsupportedError{fmt.Sprintf("the blob store, a %T, has no Delete(ctx, keys)", blobs)}
	}
	if o.Deleter != nil {
		deleter = o.Deleter
	}
	return &Eraser{idx, deleter, able, o}, nil
}

// maxRows is how many rows, a leap year's, are read and listed one by one.
const maxRows = 366 * 24

// long reports whether a range has more rows than are read one by one.
func long(from, to int64) bool {
	return to > from && index.RowAt("", to-1).Hour-index.RowAt("", from).Hour >= maxRows
}

// entries yields the tenant's entries with from ≤ Time < to, in order.
func (e *Eraser) entries(ctx context.Context, tenant string, from, to int64) iter.Seq2[index.Entry, error] {
	if !long(from, to) {
		return e.byRow(ctx, tenant, from, to)
	}
	switch x := e.index.(type) {
	case index.Scanner:
		return x.Scan(ctx, tenant, from, to)
	case entryLister:
		return x.Entries(ctx, tenant, from, to)
	}
	return func(yield func(index.Entry, error) bool) {
		yield(index.Entry{}, &UnsupportedError{"the index is no index.Scanner, so that a range of more than a year cannot be read: delete a year at a time"})
	}
}

// byRow reads each row of the range.
func (e *Eraser) byRow(ctx context.Context, tenant string, from, to int64) iter.Seq2[index.Entry, error] {
	return func(yield func(index.Entry, error) bool) {
		for row := range index.Rows(tenant, from, to) {
			entries, err := e.query(ctx, row, from, to)
			if err != nil {
				yield(index.Entry{}, err)
				return
			}
			for _, entry := range entries {
				if !yield(entry, nil) {
					return
				}
			}
		}
	}
}

func (e *Eraser) query(ctx context.Context, row index.Row, from, to int64) ([]index.Entry, error) {
	return e.index.Query(ctx, row, max(from, row.Start()), min(to, row.End()))
}

// Find counts the entries and the roll-ups of a range.
func (e *Eraser) Find(ctx context.Context, tenant string, from, to int64) (f Found, err error) {
	for entry, err := range e.entries(ctx, tenant, from, to) {
		if err != nil {
			return f, fmt.Errorf("read the entries of tenant %q: %w", tenant, err)
		}
		if f.Entries++; f.Entries == 1 {
			f.First = time.Unix(0, entry.Time)
		}
		f.Last, f.Bytes = time.Unix(0, entry.Time), f.Bytes+entry.Size
	}
	if e.opts.Spans != nil {
		f.RollUps, f.RollUpBytes, err = e.opts.Spans.Count(ctx, tenant, from, to)
	}
	return f, err
}
