package tiered

import (
	"errors"
	"fmt"
	"strings"

	"github.com/timeblob/timeblob/internal/guard"
)

// PanicError says that the codec panicked. It is permanent: the same call panics
// again. It unwraps to Value when that is an error. Its fields are
//
//	Func  string // which function, as "decode" or "merge"
//	Value any    // what it panicked with
//	Stack []byte // of the goroutine that panicked
type PanicError = guard.PanicError

// ErrClosed is returned by a Store's Get, One and Put after Close was called.
var ErrClosed = errors.New("tiered: the store is closed")

// TierError says that a tier failed. Failures of the authority are returned; failures of caches are only counted.
type TierError struct {
	Tier string   // "authority"; "store" when the caller's context ended before the authority was asked
	Op   string   // "get", "put", "delete" or "list"
	Keys []string // the keys of the caller's that it concerns
	Err  error    // what the tier returned
}

func (e *TierError) Error() string {
	return fmt.Sprintf("tiered: %s %s: %s: %v", e.Tier, e.Op, list(e.Keys), e.Err)
}

func (e *TierError) Unwrap() error { return e.Err }

// CorruptError says that the authority's bytes of a key do not decode, or are
// not the bytes that the index knows by their sum.
type CorruptError struct {
	Key  string
	Tier string
	Err  error // what the codec returned
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("tiered: %s holds a corrupt blob under %q: %v", e.Tier, e.Key, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// Corrupt returns true. Callers that do not know this package tell by it that the
// blob cannot be read next time either.
func (e *CorruptError) Corrupt() bool { return true }

// list names the first few keys.
func list(keys []string) string {
	const most = 5
	var b strings.Builder
	for i, key := range keys[:min(len(keys), most)] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", key)
	}
	if len(keys) > most {
		fmt.Fprintf(&b, " and %d more", len(keys)-most)
	}
	return b.String()
}

// failures collects the errors of one call's keys: errors with the same cause become one error that names its keys.
type failures struct {
	errs   []error
	groups map[error]*TierError
}

func (f *failures) add(key string, err error) {
	if _, ok := err.(*CorruptError); ok {
		f.errs = append(f.errs, err)
		return
	}
	group := f.groups[err]
	if group == nil {
		group = f.open(err)
	}
	group.Keys = append(group.Keys, key)
}

// open begins a group. An error that is no tier's is a context's, or a
// flight's that came to nothing.
func (f *failures) open(err error) *TierError {
	group := &TierError{Tier: "store", Op: opGet, Err: err}
	if te, ok := err.(*TierError); ok {
		group.Tier, group.Op, group.Err = te.Tier, te.Op, te.Err
	}
	if f.groups == nil {
		f.groups = make(map[error]*TierError)
	}
	f.groups[err] = group
	f.errs = append(f.errs, group)
	return group
}

func (f *failures) join() error {
	if len(f.errs) == 1 {
		return f.errs[0]
	}
	return errors.Join(f.errs...)
}
