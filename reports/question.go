package reports

import "time"

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
}
