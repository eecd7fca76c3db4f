package plan

import (
	"slices"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// Question asks for the merge of the entries of a range. All but Series may be
// left out.
type Question[T any] struct {
	Series   []Series   // at least one
	From, To int64      // Unix nanoseconds
	Extra    []Extra[T] // they are part of this answer only; ascending for Steps
	Partial  bool       // leave out what cannot be read, and say so
	MaxBytes int64      // of memory that the values may take; 0: no limit
	once     bool       // no merge of it is kept
}

// Extra is a value that is not in the index.
type Extra[T any] struct {
	Tenant string
	Time   int64  // Unix nanoseconds
	Key    string // its blob's to be; empty for an open tick
	Value  T
	Values int   // how many added values are merged in Value; 0 if unknown
	Err    error // why Value cannot be read; nil if it can
}

// Series is what one tenant's part of an answer is merged from: the roll-ups of
// spans that are sealed, and the entries outside these spans. Both ascend.
type Series struct {
	Tenant  string
	Entries []index.Entry
	Rolled  []levels.Place

	print *fingerprint // of all pieces, where it is known
}

func (s *Series) pieces() pieces { return pieces{s.Entries, s.Rolled} }

// Names reports whether one of the series' blobs has one of the keys.
func (s *Series) Names(keys map[string]bool) bool {
	return slices.ContainsFunc(s.Entries, func(e index.Entry) bool { return keys[e.Key] }) ||
		slices.ContainsFunc(s.Rolled, func(p levels.Place) bool { return keys[p.Key] })
}

// Answer is the merge of a range.
type Answer[T any] struct {
	Value   T
	Count   int // values in it
	Missing []Missing
}

// size is the number of pieces.
func (q *Question[T]) size() (n int) {
	for i := range q.Series {
		n += len(q.Series[i].Entries) + len(q.Series[i].Rolled)
	}
	return n
}

// finish makes the answer, or the error, of what was merged.
func (q *Question[T]) finish(m merged[T]) (a Answer[T], err error) {
	if len(m.lost) > 0 && !q.Partial {
		return a, failure(m.lost, m.failed)
	}
	return Answer[T]{Value: m.value, Count: m.count, Missing: missing(m.lost)}, nil
}

// extras returns the values that are not in the index as parts, and which of them
// cannot be read.
func (q *Question[T]) extras() (parts []part[T], unread []lost) {
	parts = make([]part[T], 0, len(q.Extra)+1)
	for i := range q.Extra {
		e := &q.Extra[i]
		of := pieces{entries: []index.Entry{{Time: e.Time, Key: e.Key}}}
		if e.Err != nil {
			unread = append(unread, lostOf(e.Tenant, of, e.Err)...)
			continue
		}
		parts = append(parts, part[T]{e.Value, e.Tenant, of, max(e.Values, 1)})
	}
	return parts, unread
}
