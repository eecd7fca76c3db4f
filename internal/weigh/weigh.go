// Package weigh learns how many bytes of memory values take, so that caches of
// values hold about as many bytes as they are told, whatever the codec's
// compression.
package weigh

import (
	"sync"
	"sync/atomic"

	"github.com/timeblob/timeblob/internal/guard"
)

// A scale measures the first values and then one of many: measuring a value
// costs about as much as decoding it.
const (
	always = 16 // the first values
	often  = 64 // then one of so many
)

// unlearned is how many bytes of memory a byte of a blob is taken for before a
// value was measured.
const unlearned = 4

// Most is the most bytes of memory that a value is taken for, whatever a user's function
// says: sums of it do not overflow.
const Most = 1 << 50

// mostTimes bounds what one value teaches: a byte of its blob is taken for so many bytes of
// memory at most. Deflate makes at most 1032 bytes of one, and Go's values about 16 of each. A
// user's function that says too much of one value thus makes no others seem too large.
const mostTimes = 1 << 14

// Scale weighs values of one kind. It is safe for any number of goroutines.
type Scale[T any] struct {
	size  func(T) int64 // the user's; nil: it is learned
	calls atomic.Uint64

	mu     sync.Mutex // guards what follows
	memory float64    // bytes of the values measured; older ones count less
	blobs  float64    // bytes of their blobs, where these are known
	known  float64    // bytes of memory of those
	values float64    // how many were measured
}

// New returns a scale that calls size, or learns when size is nil.
func New[T any](size func(T) int64) *Scale[T] { return &Scale[T]{size: size} }

// Weigh returns the bytes of memory that v takes. Blob is the length of the
// blob that v was decoded from, or of the blobs of its parts together; 0 when it
// is unknown. It is at most Most, and 0 when the user's function panics or does not return
// a positive number.
func (s *Scale[T]) Weigh(v T, blob int64) int64 {
	if s.size == nil && !s.due() {
		return s.Expect(blob)
	}
	return s.measure(v, blob)
}

// Observe learns from v, unless others are enough to learn from.
func (s *Scale[T]) Observe(v T, blob int64) {
	if s.due() {
		s.measure(v, blob)
	}
}

// due reports whether the next value is to be measured.
func (s *Scale[T]) due() bool {
	n := s.calls.Add(1)
	return n <= always || n%often == 0
}

func (s *Scale[T]) measure(v T, blob int64) int64 {
	if s.size == nil {
		weight := Deep(v)
		s.learn(float64(weight), float64(blob))
		return weight
	}
	weight, err := s.ask(v)
	if err != nil || weight <= 0 {
		return 0
	}
	weight = min(weight, Most)
	taught := float64(weight)
	if blob > 0 {
		taught = min(taught, float64(blob)*mostTimes)
	}
	s.learn(taught, float64(blob))
	return weight
}

func (s *Scale[T]) ask(v T) (weight int64, err error) {
	defer guard.Recover("size", &err)
	return s.size(v), nil
}

// Expect returns the bytes of memory that the value of a blob of the given length will take; 0 stands for an unknown length.
func (s *Scale[T]) Expect(blob int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case blob > 0 && s.blobs > 0:
		return int64(float64(blob) * s.known / s.blobs)
	case blob > 0:
		return blob * unlearned
	case s.values > 0:
		return int64(s.memory / s.values)
	}
	return 0
}

// learn takes one measurement over. What was measured before counts less each
// time.
func (s *Scale[T]) learn(weight, blob float64) {
	const keep = 0.9
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory, s.values = s.memory*keep+weight, s.values*keep+1
	if blob > 0 {
		s.known, s.blobs = s.known*keep+weight, s.blobs*keep+blob
	}
}
