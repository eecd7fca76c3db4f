package reports

import (
	"errors"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
)

// InvalidError says that a report was refused because of its content.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return "report refused: " + e.Err.Error() }

func (e *InvalidError) Unwrap() error { return e.Err }

// BodyError says that a blob is not a report. It wraps the error of
// [wire.Codec.Decode].
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return e.Err.Error() }

func (e *BodyError) Unwrap() error { return e.Err }

// ClientFault returns the error in err's tree that says what is wrong with the
// report or the question, so that a retry would fail in the same way. It returns
// nil for any other error.
func ClientFault(err error) error {
	for _, fault := range []error{asError[*InvalidError](err), asError[*index.TenantError](err),
		asError[*bucket.RangeError](err), asError[*bucket.TooManyError](err), asError[*bucket.CoarserError](err), asError[*TimeError](err)} {
		if fault != nil {
			return fault
		}
	}
	return nil
}

// asError returns the error of type E in err's tree, or nil.
func asError[E error](err error) error {
	if e, ok := errors.AsType[E](err); ok {
		return e
	}
	return nil
}
