// Package guard turns the panics of functions that users wrote into errors.
package guard

import (
	"fmt"
	"runtime/debug"
)

// PanicError says that a function panicked that the caller of the library
// wrote: a codec, a merge, a size or a callback. It is permanent: the same
// call panics again.
type PanicError struct {
	Func  string // which function, as "decode" or "merge"
	Value any    // what it panicked with
	Stack []byte // of the goroutine that panicked
}

func (e *PanicError) Error() string { return fmt.Sprintf("%s panicked: %v", e.Func, e.Value) }

// Unwrap returns the value that the function panicked with when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Recover must be deferred by a function that calls another one of the given
// name. It replaces *err by a *PanicError when that function panics.
func Recover(name string, err *error) {
	if p := recover(); p != nil {
		*err = &PanicError{Func: name, Value: p, Stack: debug.Stack()}
	}
}
