// Package settle holds values that are committed until a sync makes sure that no
// crash can take them back.
package settle

import (
	"context"
	"sync"
	"time"
)

// Options say when Wait returns. Every field must be set.
type Options struct {
	// First and Every are times after the first value that was added since the
	// last sync: First for the first sync, then twice as long with each one, up to
	// Every. So a process that does not live long syncs what it has taken over.
	First, Every time.Duration
	Bytes        int64 // that were added or noted since the last sync
}

// Room holds committed values. It is safe for any number of goroutines.
type Room[V any] struct {
	opts    Options
	syncing chan struct{} // full while one syncs
	enough  chan struct{} // full when enough bytes came since the last sync

	mu     sync.Mutex // guards what follows
	values []V
	since  time.Time     // when the first of values came
	first  chan struct{} // closed when values has one
	added  int64         // bytes of values
	noted  int64         // bytes
	epoch  Epoch
	every  time.Duration // until the next sync
}

// Epoch is a stretch of time without a sync that failed.
type Epoch uint64

// New returns an empty room.
func New[V any](opts Options) *Room[V] {
	return &Room[V]{opts: opts, syncing: make(chan struct{}, 1), enough: make(chan struct{}, 1), first: make(chan struct{}),
		every: opts.First}
}

// Epoch returns the present epoch. It is to be asked for before a commit begins.
func (r *Room[V]) Epoch() Epoch {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epoch
}

// Add takes a value whose commit began in an epoch and returned. It returns false
// when a sync has failed since: then the commit may be lost.
func (r *Room[V]) Add(begun Epoch, v V, bytes int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if begun != r.epoch {
		return false
	}
	if len(r.values) == 0 {
		r.since = time.Now()
		close(r.first)
	}
	r.values = append(r.values, v)
	r.added += bytes
	r.remind()
	return true
}

// Note counts bytes that something else keeps until the next sync.
func (r *Room[V]) Note(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noted += bytes
	r.remind()
}

// remind has Wait return when there is enough to sync. The caller holds mu.
func (r *Room[V]) remind() {
	if len(r.values) > 0 && max(r.added, r.noted) >= r.opts.Bytes {
		r.Hurry()
	}
}

// Hurry has Wait return as soon as there is a value.
func (r *Room[V]) Hurry() {
	select {
	case r.enough <- struct{}{}:
	default:
	}
}

// Wait waits until it is time for a sync, or ctx ends.
func (r *Room[V]) Wait(ctx context.Context) error {
	first, _ := r.due()
	select {
	case <-first:
	case <-ctx.Done():
		return ctx.Err()
	}
	_, at := r.due()
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-r.enough:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// due returns a channel that is closed when there is a value, and then when to sync.
func (r *Room[V]) due() (first <-chan struct{}, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first, r.since.Add(r.every)
}

// Values returns the values in the room.
func (r *Room[V]) Values() []V {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]V(nil), r.values...)
}

// Sync calls sync and returns the values that were in the room before, and leave
// it. When sync fails, the values that came meanwhile leave as well, and those
// whose commits are under way are not taken any more: all of them may be lost.
func (r *Room[V]) Sync(ctx context.Context, sync func(context.Context) error) (left []V, err error) {
	select {
	case r.syncing <- struct{}{}:
		defer func() { <-r.syncing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	left = r.take()
	if err = sync(ctx); err != nil {
		left = append(left, r.fail()...)
	}
	return left, err
}

// take empties the room.
func (r *Room[V]) take() []V {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.empty()
}

// fail empties the room and begins another epoch.
func (r *Room[V]) fail() []V {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epoch++
	return r.empty()
}

// empty empties the room. The caller holds mu.
func (r *Room[V]) empty() (values []V) {
	if values = r.values; len(values) > 0 {
		r.first = make(chan struct{})
		r.every = min(2*r.every, r.opts.Every)
	}
	r.values, r.added, r.noted = nil, 0, 0
	select {
	case <-r.enough:
	default:
	}
	return values
}
