package reports

import (
	"errors"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
)

// ClientFault returns the error in err's tree that says what is wrong with the
// report or the question, so that a retry would fail in the same way. It returns
// nil for any other error.
func ClientFault(err error) error {
	for _, fault := range []error{asError[*InvalidError](err), asError[*index.TenantError](err),
		asError[*bucket.RangeError](err), asError[*bucket.TooManyError](err), asError[*TimeError](err)} {
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
