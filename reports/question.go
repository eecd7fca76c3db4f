package reports

import (
	"time"

	"github.com/timeblob/timeblob/bucket"
)

// Question says what to merge: the window that ends at To or, if Ranged is set,
// the range [From, To).
type Question struct {
	From, To time.Time
	Ranged   bool
	// Open says that the question has no end: To is later than all reports.
	Open bool
	// OnlyFound asks whether there is any report in the window that ends at To.
	// The answer's Report may be nil.
	OnlyFound bool
	// Partial allows an answer without the stored reports that cannot be read, in
	// place of an error. Answer.Missing names them.
	Partial bool
	// Round asks for the nearest range that can be answered, in place of a
	// *bucket.CoarserError. Answer.From and Answer.To say which it is.
	Round bool
}

// options returns what the question allows.
func (q Question) options() *bucket.RangeOptions {
	return &bucket.RangeOptions{Partial: q.Partial, Round: q.Round}
}
