package bucket

import (
	"errors"
	"fmt"
	"sync"
)

// maxTicks bounds a window's memory; a month of 3 s ticks is below it.
const maxTicks = 1 << 20

// Window is the live window of one tenant: the tick that values are merged
// into now, and the sealed ticks before it. The merge of them all is at hand
// at any time. A Window is safe for any number of goroutines; while it
// merges, the others wait.
type Window[T any] struct {
	merge Merge[T]
	ticks int

	mu      sync.Mutex
	current cell[T]
	older   *sliding[T]
	idle    int     // ticks sealed since the last one that held a value
	answer  cell[T] // the value of the window, while known
	known   bool
}

// NewWindow returns a window over the given number of sealed ticks, from 0 to
// 1 048 576, and the current one.
func NewWindow[T any](ticks int, merge Merge[T]) (*Window[T], error) {
	if ticks < 0 || ticks > maxTicks {
		return nil, fmt.Errorf("window of %d ticks: must be from 0 to %d", ticks, maxTicks)
	}
	if merge == nil {
		return nil, errors.New("window: needs a merge function")
	}
	return &Window[T]{merge: merge, ticks: ticks, idle: ticks, older: newSliding(merge)}, nil
}

// Add merges v into the current tick and costs one merge. When it returns an
// error, that of the merge, the window is as it was.
func (w *Window[T]) Add(v T) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := join(w.merge, w.current, cell[T]{value: v, full: true})
	if c.err != nil {
		return c.err
	}
	w.current, w.known = c, false
	return nil
}

// Seal ends the current tick and drops the oldest one when there are more
// than the window's ticks. It returns the value of the tick it ended; ok is
// false when nothing arrived in it. It costs at most five merges, whatever
// the window's length.
func (w *Window[T]) Seal() (v T, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ended := w.current
	w.current, w.known = cell[T]{}, false
	w.keep(ended)
	return ended.value, ended.full
}

// keep moves a tick that has ended into the sealed ones.
func (w *Window[T]) keep(ended cell[T]) {
	w.idle++
	if ended.full {
		w.idle = 0
	}
	if w.idle >= w.ticks { // nothing but ticks without a value
		if w.older.len() > 0 {
			w.older = newSliding(w.merge)
		}
		return
	}
	w.older.push(ended)
	if w.older.len() > w.ticks {
		w.older.pop()
	}
}

// Value returns the merge of the current tick and the sealed ones; the zero
// value of T when they are empty. It costs at most two merges, whatever the
// window's length, and none when nothing changed since the last time. The
// value is shared: nobody may change it.
//
// It fails while the window holds values that the merge function refuses to
// merge with each other.
func (w *Window[T]) Value() (T, error) {
	c := w.total()
	return c.value, c.err
}

func (w *Window[T]) total() cell[T] {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.known {
		w.answer, w.known = w.sum(), true
	}
	return w.answer
}

// Current returns the value of the current tick; ok is false when nothing has
// arrived in it.
func (w *Window[T]) Current() (v T, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.current.value, w.current.full
}

// Empty reports whether neither the current tick nor a sealed one has a value.
func (w *Window[T]) Empty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.idle >= w.ticks && !w.current.full
}

func (w *Window[T]) sum() cell[T] {
	front, tail := w.older.halves()
	parts := make([]T, 0, 3)
	for _, c := range []cell[T]{front, tail, w.current} {
		if c.err != nil {
			return c
		}
		if c.full {
			parts = append(parts, c.value)
		}
	}
	v, err := mergeParts(w.merge, parts)
	return cell[T]{value: v, full: len(parts) > 0, err: err}
}
