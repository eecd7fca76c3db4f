// Package unsynced holds values that are committed until a sync makes sure that no
// crash can take them back.
package unsynced

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

// Set holds committed values. It is safe for any number of goroutines.
type Set[V any] struct {
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

// New returns an empty set.
func New[V any](opts Options) *Set[V] {
	return &Set[V]{opts: opts, syncing: make(chan struct{}, 1), enough: make(chan struct{}, 1), first: make(chan struct{}),
		every: opts.First}
}

// Epoch returns the present epoch. It is to be asked for before a commit begins.
func (s *Set[V]) Epoch() Epoch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

// Add takes a value whose commit began in an epoch and returned. It returns false
// when a sync has failed since: then the commit may be lost.
func (s *Set[V]) Add(begun Epoch, v V, bytes int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if begun != s.epoch {
		return false
	}
	if len(s.values) == 0 {
		s.since = time.Now()
		close(s.first)
	}
	s.values = append(s.values, v)
	s.added += bytes
	s.remind()
	return true
}

// Note counts bytes that something else keeps until the next sync.
func (s *Set[V]) Note(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noted += bytes
	s.remind()
}

// remind has Wait return when there is enough to sync. The caller holds mu.
func (s *Set[V]) remind() {
	if len(s.values) > 0 && max(s.added, s.noted) >= s.opts.Bytes {
		s.Hurry()
	}
}

// Hurry has Wait return as soon as there is a value.
func (s *Set[V]) Hurry() {
	select {
	case s.enough <- struct{}{}:
	default:
	}
}

// Wait waits until it is time for a sync, or ctx ends.
func (s *Set[V]) Wait(ctx context.Context) error {
	first, _ := s.due()
	select {
	case <-first:
	case <-ctx.Done():
		return ctx.Err()
	}
	_, at := s.due()
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.enough:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// due returns a channel that is closed when there is a value, and then when to sync.
func (s *Set[V]) due() (first <-chan struct{}, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, s.since.Add(s.every)
}

// Values returns the values in the set.
func (s *Set[V]) Values() []V {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]V(nil), s.values...)
}

// Sync calls sync and returns the values that were in the set before, and leave
// it. When sync fails, the values that came meanwhile leave as well, and those
// whose commits are under way are not taken any more: all of them may be lost.
func (s *Set[V]) Sync(ctx context.Context, sync func(context.Context) error) (left []V, err error) {
	select {
	case s.syncing <- struct{}{}:
		defer func() { <-s.syncing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	left = s.take()
	if err = sync(ctx); err != nil {
		left = append(left, s.fail()...)
	}
	return left, err
}

// take empties the set.
func (s *Set[V]) take() []V {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.empty()
}

// fail empties the set and begins another epoch.
func (s *Set[V]) fail() []V {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	return s.empty()
}

// empty empties the set. The caller holds mu.
func (s *Set[V]) empty() (values []V) {
	if values = s.values; len(values) > 0 {
		s.first = make(chan struct{})
		s.every = min(2*s.every, s.opts.Every)
	}
	s.values, s.added, s.noted = nil, 0, 0
	select {
	case <-s.enough:
	default:
	}
	return values
}
