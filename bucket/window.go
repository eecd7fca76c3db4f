package bucket

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Window is the live window of one tenant: the open tick that values are
// merged into, and the sealed ticks that ended less than its length ago. The
// merge of them all is at hand at any time where they are many, and made when
// somebody asks where they are few: most tenants are never asked about. A Window is safe for any number of
// goroutines; while it merges, the others wait.
type Window[T any] struct {
	merge  Merge[T]
	length int64 // nanoseconds

	mu      sync.Mutex
	current cell[T]
	older   *sliding[T] // ticks with a value
	answer  cell[T]     // the value of the window, while known
	known   bool
}

// NewWindow returns a window over the sealed ticks of the given length of
// time, which must not be negative, and the open one.
func NewWindow[T any](length time.Duration, merge Merge[T]) (*Window[T], error) {
	if length < 0 {
		return nil, fmt.Errorf("window of %v: must not be negative", length)
	}
	if merge == nil {
		return nil, errors.New("window: needs a merge function")
	}
	return &Window[T]{merge: merge, length: int64(length), older: newSliding(merge)}, nil
}

// Add merges v into the open tick and costs one merge. When it returns an
// error, that of the merge, the window is as it was.
func (w *Window[T]) Add(v T) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := join(w.merge, w.current, cell[T]{value: v, full: true})
	if c.err != nil {
		return c.err
	}
	w.current = c
	w.changed()
	return nil
}

// Seal ends the open tick at an instant and drops the ticks that ended a
// window's length or longer before it. It returns the value of the tick it
// ended; ok is false when nothing arrived in it. It costs at most three
// merges, and two for each tick it drops unless it drops them all, whatever
// the window's length; nothing while there are no more than eight sealed ticks,
// and seven more when they become nine.
//
// Where the instant is before that of the last tick, the clock was set back:
// every sealed tick is dropped, since those of what is now the future cannot
// be told from their merge with the others.
func (w *Window[T]) Seal(at time.Time) (v T, ok bool) { return w.seal(at.UnixNano()) }

func (w *Window[T]) seal(at int64) (v T, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ended := w.current
	w.current = cell[T]{}
	w.changed()
	if w.older.len() > 0 && at < w.older.last() {
		w.older = newSliding(w.merge)
	}
	w.expire(at)
	if ended.full && w.length > 0 {
		w.older.push(ended, at)
	}
	return ended.value, ended.full
}

// expire drops the ticks that ended a window's length or longer before at. The
// caller holds mu.
func (w *Window[T]) expire(at int64) {
	if w.older.len() > 0 && at-w.older.last() >= w.length {
		w.older = newSliding(w.merge)
		w.changed()
	}
	for w.older.len() > 0 && at-w.older.ended(w.older.front) >= w.length {
		w.older.pop()
		w.changed()
	}
}

// changed forgets the answer.
func (w *Window[T]) changed() { w.answer, w.known = cell[T]{}, false }

// Value returns the merge of the open tick and of the sealed ones that Seal
// has kept; the zero value of T when they are empty. It costs at most two
// merges, whatever the window's length, and none when nothing changed since
// the last time; while there are no more than eight sealed ticks, it costs one
// merge, and one of all of them when it is the first since a tick came or left.
// The value is shared: nobody may change it.
//
// It fails while the window holds values that the merge function refuses to
// merge with each other.
func (w *Window[T]) Value() (T, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.total()
	return c.value, c.err
}

// since is Value, as a cell, once the ticks are dropped that a Seal at that
// instant would drop.
func (w *Window[T]) since(at int64) cell[T] {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire(at)
	return w.total()
}

func (w *Window[T]) total() cell[T] {
	if !w.known {
		w.answer = w.sum()
		w.known = w.answer.err == nil // which may pass
	}
	return w.answer
}

// Current returns the value of the open tick; ok is false when nothing has
// arrived in it.
func (w *Window[T]) Current() (v T, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.current.value, w.current.full
}

// few reports whether the window merges its ticks only when it is asked.
func (w *Window[T]) few() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.older.few
}

// Empty reports whether neither the open tick nor a sealed one has a value.
func (w *Window[T]) Empty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.older.len() == 0 && !w.current.full
}

func (w *Window[T]) sum() cell[T] {
	front, tail := w.older.halves()
	return joinAll(w.merge, []cell[T]{front, tail, w.current})
}
