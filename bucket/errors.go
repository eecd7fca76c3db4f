package bucket

import (
	"errors"
	"fmt"
)

// ErrClosed is returned by a Collector that was closed.
var ErrClosed = errors.New("collector is closed")

// FullError is returned by Add when too many bytes wait to be stored: the
// store is slower than what arrives, or away. The value was not taken; try
// again later, unless its size alone is over the limit.
type FullError struct {
	Pending, Limit, Size int64 // bytes
	OfTenant             bool  // Pending and Limit are the tenant's own; others' values are still taken
}

func (e *FullError) Error() string {
	all, of := "all that waits", ""
	if e.OfTenant {
		all, of = "what waits of one tenant", " of this tenant"
	}
	if e.Size > e.Limit {
		return fmt.Sprintf("a value of %d bytes is over the limit of %d for %s to be stored", e.Size, e.Limit, all)
	}
	return fmt.Sprintf("%d bytes%s wait to be stored and the limit is %d: try again later", e.Pending, of, e.Limit)
}

// UndeliveredError is returned by Flush and Close for values that could not
// be made discoverable in time.
type UndeliveredError struct {
	Values []Undelivered
}

// Undelivered is a value that is not in the index, and why.
type Undelivered struct {
	Tenant string
	Time   int64 // the instant, Unix nanoseconds
	Err    error // of the last attempt; nil when there was none
}

func (e *UndeliveredError) Error() string {
	first := e.Values[0]
	s := fmt.Sprintf("%d values not delivered, the first of tenant %q, instant %d", len(e.Values), first.Tenant, first.Time)
	if first.Err != nil {
		s += ": " + first.Err.Error()
	}
	return s
}

// Unwrap returns the errors of the last attempts.
func (e *UndeliveredError) Unwrap() []error {
	var errs []error
	for _, v := range e.Values {
		if v.Err != nil {
			errs = append(errs, v.Err)
		}
	}
	return errs
}
