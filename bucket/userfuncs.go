package bucket

import (
	"errors"
	"sync/atomic"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/guard"
	"github.com/timeblob/timeblob/internal/weigh"
)

// PanicError says that a function that the user of this package wrote
// panicked: a codec, a merge, a size, a clone or a callback. It is permanent: the
// same call panics again. It unwraps to Value when that is an error. Its fields are
//
//	Func  string // which function, as "decode" or "merge"
//	Value any    // what it panicked with
//	Stack []byte // of the goroutine that panicked
type PanicError = guard.PanicError

// userFuncs are the functions that a collector was given. A panic of any of
// them is a *PanicError.
type userFuncs[T any] struct {
	blobs    Blobs[T]
	decoder  Decoder[T] // nil: blobs cannot decode
	mergeAll Merge[T]
	opts     *CollectorOptions[T]
}

func newUserFuncs[T any](blobs Blobs[T], merge Merge[T], opts *CollectorOptions[T]) *userFuncs[T] {
	u := &userFuncs[T]{blobs: blobs, mergeAll: merge, opts: opts}
	u.decoder, _ = blobs.(Decoder[T])
	return u
}

func (u *userFuncs[T]) merge(parts []T) (v T, err error) {
	defer guard.Recover("merge", &err)
	return u.mergeAll(parts)
}

// into merges src into dst, which belongs to the collector.
func (u *userFuncs[T]) into(dst, src T) (v T, err error) {
	defer guard.Recover("into", &err)
	return u.opts.Into(dst, src)
}

func (u *userFuncs[T]) clone(v T) (copied T, err error) {
	defer guard.Recover("clone", &err)
	return u.opts.Clone(v), nil
}

// encode returns the blob of a value that others may read at the same time.
func (u *userFuncs[T]) encode(v T) (blob []byte, err error) {
	if u.opts.Clone != nil {
		if v, err = u.clone(v); err != nil {
			return nil, err
		}
	}
	defer guard.Recover("encode", &err)
	return u.blobs.Encode(v)
}

func (u *userFuncs[T]) decode(blob []byte) (v T, err error) {
	if u.decoder == nil {
		return v, errors.New("the blob store does not decode")
	}
	defer guard.Recover("decode", &err)
	return u.decoder.Decode(blob)
}

// weigh returns how many bytes of memory a value takes, from 1 to weigh.Most.
func (u *userFuncs[T]) weigh(v T) (size int64, err error) {
	defer guard.Recover("size", &err)
	return min(max(u.opts.Size(v), 1), weigh.Most), nil
}

// callbacks calls functions of the user that return nothing, several at a time, and
// keeps their first panic.
type callbacks struct{ failed atomic.Pointer[error] }

func (c *callbacks) call(name string, f func()) {
	err := func() (err error) {
		defer guard.Recover(name, &err)
		f()
		return nil
	}()
	if err != nil {
		c.failed.CompareAndSwap(nil, &err)
	}
}

// progress returns a callback that is called with figures; nil when f is nil.
func progress[D any](c *callbacks, f func(D)) func(D) {
	if f == nil {
		return nil
	}
	return func(done D) { c.call("progress", func() { f(done) }) }
}

// or returns err, or else the first panic.
func (c *callbacks) or(err error) error {
	if failed := c.failed.Load(); err == nil && failed != nil {
		return *failed
	}
	return err
}

func (u *userFuncs[T]) stored(tenant string, e index.Entry, size int) (err error) {
	defer guard.Recover("stored", &err)
	if u.opts.Stored != nil {
		u.opts.Stored(tenant, e, size)
	}
	return nil
}

func (u *userFuncs[T]) failed(tenant string, v T, cause error) (err error) {
	defer guard.Recover("failed", &err)
	if u.opts.Failed != nil {
		u.opts.Failed(tenant, v, cause)
	}
	return nil
}
