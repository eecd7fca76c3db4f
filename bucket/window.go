package bucket

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/window"
	"github.com/timeblob/timeblob/internal/guard"
)

// Window is the live window of one tenant: the open tick, into which values are
// merged, and the sealed ticks that ended less than the window's length ago. Use
// it apart from a Collector for a live answer over values that are not stored.
// A Window is safe for any number of goroutines; while one merges, the others
// wait, and a merge that never returns stops the window. A merge that panics is
// one that fails with a *PanicError.
//
// The value of a window of up to eight ticks is merged when somebody asks for
// it. A longer window keeps its merge ready, at the cost of at most five merges
// a tick, so that a question costs at most two merges whatever the length.
type Window[T any] struct {
	merge  Merge[T]
	length time.Duration

	mu     sync.Mutex // guards what follows
	open   T
	isOpen bool // a value has arrived in the open tick
	sealed *window.Ticks[T]
	answer T
	known  bool // answer is the window's value
}

// NewWindow returns an empty window of a length of time, which must not be
// negative.
func NewWindow[T any](length time.Duration, merge Merge[T]) (*Window[T], error) {
	if length < 0 {
		return nil, fmt.Errorf("window of %v: must not be negative", length)
	}
	if merge == nil {
		return nil, errors.New("window: needs a merge function")
	}
	guarded := func(parts []T) (v T, err error) {
		defer guard.Recover("merge", &err)
		return merge(parts)
	}
	return &Window[T]{merge: guarded, length: length, sealed: window.New(int64(length), guarded)}, nil
}

// Add merges v into the open tick and costs one merge. When the merge fails, Add
// returns its error and the window is as before.
func (w *Window[T]) Add(v T) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isOpen {
		var err error
		if v, err = w.merge([]T{w.open, v}); err != nil {
			return err
		}
	}
	w.open, w.isOpen = v, true
	w.changed()
	return nil
}

// Seal ends the open tick at an instant and drops the ticks that ended a
// window's length or longer before it. It returns the value of the tick that it
// ended; ok is false when nothing arrived in that tick. Seal costs no merge
// while there are at most eight sealed ticks, and at most ten merges when a
// ninth comes. With more ticks it costs at most three merges, and two for each
// tick that it drops unless it drops all of them.
//
// An instant before the last tick's means that the clock was set back. Seal
// then drops every sealed tick, because the ticks of what is now the future
// cannot be told from their merge with the others.
func (w *Window[T]) Seal(at time.Time) (v T, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ended, ok := w.open, w.isOpen
	w.open, w.isOpen = v, false
	w.changed()
	if ok {
		w.sealed.Push(ended, at.UnixNano())
		return ended, true
	}
	w.sealed.Rewind(at.UnixNano())
	w.sealed.Expire(at.UnixNano())
	return v, false
}

// Value returns the merge of the open tick and the sealed ones; the zero value
// of T when they are empty. It costs no merge when nothing changed since the
// last call. It costs at most two merges when there are more than eight sealed
// ticks, otherwise one merge of the sealed ticks after each change of them and
// one merge with the open tick. The value is shared: nobody may change it.
//
// It fails while the window holds values that the merge function refuses to
// merge with each other.
func (w *Window[T]) Value() (v T, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known {
		return w.answer, nil
	}
	parts, _, err := w.sealed.Parts()
	if err != nil {
		return v, err
	}
	if len(parts) > 1 && w.sealed.Few() {
		sum, err := w.merge(parts)
		if err != nil {
			return v, err
		}
		w.sealed.Keep(sum)
		parts = []T{sum}
	}
	if w.isOpen {
		parts = append(parts, w.open)
	}
	if v, err = mergeParts(w.merge, parts); err == nil {
		w.answer, w.known = v, true
	}
	return v, err
}

// changed forgets the answer. The caller holds mu.
func (w *Window[T]) changed() {
	var zero T
	w.answer, w.known = zero, false
}

// Empty reports whether neither the open tick nor a sealed one has a value.
func (w *Window[T]) Empty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.isOpen && w.sealed.Len() == 0
}
