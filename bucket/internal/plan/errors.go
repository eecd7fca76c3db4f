package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// TooManyError says that a range of a tenant has more entries than one
// question may have.
type TooManyError struct {
	Tenant string
	Limit  int // QuantizerOptions.MaxEntries
}

func (e *TooManyError) Error() string {
	return fmt.Sprintf("tenant %q: more than %d entries in the range: ask for a shorter one, or raise MaxEntries", e.Tenant, e.Limit)
}

// RangeTooLargeError says that the values of a range take more bytes of memory
// than the question allows, or one value more than all questions may use. It is
// returned before a blob is read.
type RangeTooLargeError struct {
	Tenant string
	Bytes  int64 // the estimate: the blobs' lengths times the memory that a byte of a blob takes
	Limit  int64
	Option string // which option sets the limit: MaxBytes for all values of the range, MaxDecodedBytes for each of them
}

func (e *RangeTooLargeError) Error() string {
	if e.Option == "MaxDecodedBytes" {
		return fmt.Sprintf("tenant %q: one value of the range takes about %d bytes of memory, and all questions together may use %d: raise MaxDecodedBytes",
			e.Tenant, e.Bytes, e.Limit)
	}
	return fmt.Sprintf("tenant %q: the values of the range take about %d bytes of memory, and the question allows %d: ask for a shorter range, or raise MaxBytes",
		e.Tenant, e.Bytes, e.Limit)
}

// CoarserError says that a range, or a slice of it, begins or ends inside a span
// whose values retention has removed one by one, so that only their merge is
// left.
type CoarserError struct {
	Tenant                 string
	From, To               time.Time // the range that was asked for
	NearestFrom, NearestTo time.Time // the nearest range around it that can be answered
}

func (e *CoarserError) Error() string {
	utc := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	return fmt.Sprintf("tenant %q: the range from %s to %s is kept in longer spans only: ask from %s to %s, for slices in steps that are not shorter than the spans",
		e.Tenant, utc(e.From), utc(e.To), utc(e.NearestFrom), utc(e.NearestTo))
}

// ErrNoBlob is the reason for a missing value when the index has its entry and
// the store has no blob with the entry's key.
var ErrNoBlob = errors.New("the store has no such blob")

// MissingError says that the index has entries and the store does not have
// their blobs.
type MissingError struct {
	Tenant  string
	Entries []index.Entry // at least one, ascending
}

func (e *MissingError) Error() string {
	first := e.Entries[0]
	s := fmt.Sprintf("tenant %q: the store has no blob %s, of %s", e.Tenant, first.Key, instant(first.Time))
	if more := len(e.Entries) - 1; more > 0 {
		s += fmt.Sprintf(", nor %d others of the range", more)
	}
	return s
}

// Keys returns the keys that the store does not have.
func (e *MissingError) Keys() []string {
	keys := make([]string, len(e.Entries))
	for i, entry := range e.Entries {
		keys[i] = entry.Key
	}
	return keys
}

// MergeError says that the merge function refused stored values, or panicked
// on them. It is permanent: the same values are refused again. A partial answer
// leaves them out.
type MergeError struct {
	Tenant  string
	Entries []index.Entry // the values that the others do not merge with; a span's when its merge was refused. An open tick has no key
	Err     error         // of the merge function; a *PanicError when it panicked
}

func (e *MergeError) Error() string {
	s := fmt.Sprintf("tenant %q: merge", e.Tenant)
	if len(e.Entries) > 0 {
		s += fmt.Sprintf(" of %s, blob %s", instant(e.Entries[0].Time), cmp.Or(e.Entries[0].Key, "of the open tick"))
	}
	if more := len(e.Entries) - 1; more > 0 {
		s += fmt.Sprintf(" and %d others", more)
	}
	return s + ": " + e.Err.Error()
}

func (e *MergeError) Unwrap() error { return e.Err }

// HeldError says that a value which is not in the index yet cannot be read.
type HeldError struct {
	Tenant string
	Time   time.Time // the value's instant; for a value of an open tick, when that would end
	Err    error     // the codec's error, a *PanicError when it panicked, or the journal's
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("tenant %q: the value of %s, which is not in the index yet, cannot be read: %v", e.Tenant, e.Time.UTC().Format(time.RFC3339Nano), e.Err)
}

func (e *HeldError) Unwrap() error { return e.Err }

// Missing is one value that is not in a partial answer.
type Missing struct {
	Tenant string
	Time   time.Time // the value's instant; zero when a source is missing as a whole
	Key    string    // its blob's; empty for an open tick, and when a source is missing as a whole
	Source string    // the collector that did not answer; empty for a stored value
	Err    error     // why: ErrNoBlob, a *MergeError, a *HeldError, or the store's error
}

// lost is a piece that is not in a merge.
type lost struct {
	tenant string
	entry  index.Entry   // without a key for an open tick
	rolled *levels.Place // the seal, when the piece is a roll-up
	err    error
}

// lostOf returns all pieces as lost.
func lostOf(tenant string, p pieces, err error) (all []lost) {
	for _, e := range p.entries {
		all = append(all, lost{tenant: tenant, entry: e, err: err})
	}
	for i := range p.rolled {
		all = append(all, lost{tenant, entryOf(&p.rolled[i]), &p.rolled[i], err})
	}
	return all
}

// valuesLost returns how many values lost pieces stand for.
func valuesLost(all []lost) (n int) {
	for i := range all {
		if n++; all[i].rolled != nil {
			n += all[i].rolled.Entries - 1
		}
	}
	return n
}

// failure makes one error of what a question lost. Failed, when it is not nil,
// is the store's own account of the reads that failed.
func failure(all []lost, failed error) error {
	var missing []*MissingError // one for each tenant
	var other error
	for _, l := range all {
		var merge *MergeError
		var held *HeldError
		switch {
		case errors.Is(l.err, ErrNoBlob):
			if n := len(missing); n == 0 || missing[n-1].Tenant != l.tenant {
				missing = append(missing, &MissingError{Tenant: l.tenant})
			}
			last := missing[len(missing)-1]
			last.Entries = append(last.Entries, l.entry)
		case other != nil:
		case errors.As(l.err, &merge), errors.As(l.err, &held):
			other = l.err
		default:
			other = fmt.Errorf("read blobs of tenant %q: %w", l.tenant, cmp.Or(failed, l.err))
		}
	}
	errs := []error{other}
	for _, m := range missing {
		slices.SortFunc(m.Entries, func(a, b index.Entry) int { return cmp.Compare(a.Time, b.Time) })
		errs = append(errs, m)
	}
	return errors.Join(errs...)
}

// missing describes what a partial answer lost.
func missing(all []lost) (list []Missing) {
	for _, l := range all {
		list = append(list, Missing{Tenant: l.tenant, Time: time.Unix(0, l.entry.Time), Key: l.entry.Key, Err: l.err})
	}
	return list
}

// instant writes Unix nanoseconds for people.
func instant(t int64) string {
	return time.Unix(0, t).UTC().Format(time.RFC3339Nano)
}
