// Package window holds the sealed ticks of a live window and their merge.
//
// A window of up to eight ticks keeps its ticks apart: most windows are never
// asked about, and one merge of eight values at the first question after a
// change costs less than keeping the merge ready. A longer window is for
// answers about minutes: with a tick of 3 s, five minutes are a hundred ticks,
// and each question after a tick would merge all of them. Such a window uses
// DABA Lite, which costs at most five merges a tick and two a question,
// whatever the length. BenchmarkWindow of package bench measures both.
package window

import (
	"slices"
)

// Ticks are the sealed ticks of a window: values by the instant at which they
// leave it. Ticks must not be used by several goroutines at a time.
type Ticks[T any] struct {
	merge  Merge[T]
	length int64 // nanoseconds
	queue  *sliding[T]
	late   []tick[T] // values that were inserted, ascending by instant
}

type tick[T any] struct {
	value T
	ended int64 // Unix nanoseconds
}

// New returns the ticks, none at first, of a window of so many nanoseconds.
func New[T any](length int64, merge Merge[T]) *Ticks[T] {
	return &Ticks[T]{merge: merge, length: length, queue: newSliding(merge)}
}

// Push adds the newest tick, which ended at an instant, and drops what is then
// too old. It costs at most three merges, and two for each tick that it drops
// unless it drops them all; nothing while there are no more than eight, and
// seven more when they become nine.
//
// An instant before the last tick's means that the clock was set back. Push then
// drops every tick: ticks that now lie in the future cannot be removed from merges with other ticks.
func (t *Ticks[T]) Push(v T, ended int64) {
	t.Rewind(ended)
	t.Expire(ended)
	if t.length > 0 {
		t.queue.push(cell[T]{value: v, full: true}, ended)
	}
}

// Rewind drops every tick if the last one ended after the instant now. It
// reports whether it did.
func (t *Ticks[T]) Rewind(now int64) (dropped bool) {
	if t.queue.len() == 0 || now >= t.queue.last() {
		return false
	}
	t.queue, t.late = newSliding(t.merge), nil
	return true
}

// Remove drops the ticks and the inserted values for which gone returns true. It
// reports whether it removed anything. A window of many ticks holds only merges of
// them. If such a window has a tick that ended before the instant to, Remove drops
// everything and whole is true; otherwise it drops inserted values only.
func (t *Ticks[T]) Remove(to int64, gone func(v T) bool) (removed, whole bool) {
	if !t.queue.few && t.queue.ended(t.queue.front) < to {
		t.queue, t.late = newSliding(t.merge), nil
		return true, true
	}
	n := len(t.late)
	t.late = slices.DeleteFunc(t.late, func(l tick[T]) bool { return gone(l.value) })
	removed = len(t.late) < n
	return t.queue.few && t.queue.remove(gone) || removed, false
}

// Last returns when the newest tick ended, and whether there is one.
func (t *Ticks[T]) Last() (ended int64, ok bool) {
	if t.queue.len() == 0 {
		return 0, false
	}
	return t.queue.last(), true
}

// Insert adds a value of a past instant. It costs no merge; every question
// about the window merges the inserted values apart.
func (t *Ticks[T]) Insert(v T, at int64) {
	place, _ := slices.BinarySearchFunc(t.late, at, func(l tick[T], at int64) int {
		if l.ended <= at {
			return -1
		}
		return 1
	})
	t.late = slices.Insert(t.late, place, tick[T]{v, at})
}

// Expire drops the ticks that ended a window's length or longer before now. It
// reports whether it dropped any.
func (t *Ticks[T]) Expire(now int64) (dropped bool) {
	if t.queue.len() > 0 && now-t.queue.last() >= t.length {
		t.queue, dropped = newSliding(t.merge), true
	}
	for t.queue.len() > 0 && now-t.queue.ended(t.queue.front) >= t.length {
		t.queue.pop()
		dropped = true
	}
	n := 0
	for n < len(t.late) && now-t.late[n].ended >= t.length {
		n++
	}
	t.late = slices.Delete(t.late, 0, n)
	return dropped || n > 0
}

// Len returns how many ticks there are, inserted values included.
func (t *Ticks[T]) Len() int { return t.queue.len() + len(t.late) }

// Few reports whether the ticks are kept apart. Their values are then never
// merged before somebody asks.
func (t *Ticks[T]) Few() bool { return t.queue.few }

// Parts returns values whose merge is the window's: the ticks while they are
// few, the value that Keep was given for them, or two merges. Values that were
// inserted come last. It fails while the window has ticks that the merge
// function refuses to merge.
func (t *Ticks[T]) Parts() (sealed, late []T, err error) {
	if sealed, err = t.queue.parts(); err != nil {
		return nil, nil, err
	}
	for _, l := range t.late {
		late = append(late, l.value)
	}
	return sealed, late, nil
}

// Keep keeps the merge of the sealed parts, as Parts returned them since the
// last change, so that the next question merges fewer.
func (t *Ticks[T]) Keep(sum T) { t.queue.keep(sum) }
