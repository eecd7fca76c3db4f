package report

import (
	"cmp"
	"time"
)

// Instant is a point in time, to the nanosecond. It differs from a time.Time in
// that it has no zone, no monotonic reading and no pointer: a report holds tens of
// thousands of instants, which then take less memory, and which the garbage
// collector does not read. The zero Instant is the zero time.Time.
type Instant struct {
	Seconds int64 // since the first second of the year 1, in UTC
	Nanos   int32 // 0 to 999 999 999
}

// yearOne is the first second of the year 1, in Unix time.
const yearOne = -62135596800

// InstantOf returns the instant of a time.
func InstantOf(t time.Time) Instant {
	return Instant{t.Unix() - yearOne, int32(t.Nanosecond())}
}

// Time returns the instant as a time in UTC.
func (i Instant) Time() time.Time {
	return time.Unix(i.Seconds+yearOne, int64(i.Nanos)).UTC()
}

// Compare orders instants.
func (i Instant) Compare(other Instant) int {
	if i.Seconds != other.Seconds {
		return cmp.Compare(i.Seconds, other.Seconds)
	}
	return cmp.Compare(i.Nanos, other.Nanos)
}

// IsZero reports whether an instant is the zero instant.
func (i Instant) IsZero() bool { return i == Instant{} }

// String returns the instant as a time.Time prints itself.
func (i Instant) String() string { return i.Time().String() }
