package bucket

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/timeblob/timeblob/index"
)

// RangeError says that a range is none: it ends before it begins, or one of
// its ends is too far away.
type RangeError struct {
	From, To time.Time
	Reason   string
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("range from %s to %s: %s", e.From.Format(time.RFC3339Nano), e.To.Format(time.RFC3339Nano), e.Reason)
}

// TooManyError says that a range of a tenant has more entries than one
// question may have.
type TooManyError struct {
	Tenant string
	Limit  int // QuantizerOptions.MaxEntries
}

func (e *TooManyError) Error() string {
	return fmt.Sprintf("tenant %q: more than %d entries in the range: ask for a shorter one, or raise MaxEntries", e.Tenant, e.Limit)
}

// MissingError says that the index has entries of which the store does not
// have the blobs.
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

// joinSegments makes one error of those of a question's segments, nil when there
// are none: all missing blobs together, and the first of the other errors,
// since one read that failed is the error of every segment it was for.
func joinSegments(tenant string, errs []error) error {
	var missing []index.Entry
	var other error
	for _, err := range errs {
		var m *MissingError
		switch {
		case err == nil:
		case errors.As(err, &m):
			missing = append(missing, m.Entries...)
		case other == nil:
			other = err
		}
	}
	if missing == nil {
		return other
	}
	return errors.Join(other, &MissingError{Tenant: tenant, Entries: missing})
}

var firstInstant, lastInstant = time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)

// span returns the ends of a range as Unix nanoseconds.
func span(from, to time.Time) (a, b int64, err error) {
	if to.Before(from) {
		return 0, 0, &RangeError{from, to, "ends before it begins"}
	}
	if from.Before(firstInstant) || to.After(lastInstant) {
		return 0, 0, &RangeError{from, to, "must lie between the years 1678 and 2262, as Unix nanoseconds do in 64 bits"}
	}
	return from.UnixNano(), to.UnixNano(), nil
}
