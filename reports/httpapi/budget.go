package httpapi

import (
	"context"
	"sync/atomic"
)

// slots admits as many holders at a time as its capacity.
type slots chan struct{}

// enter waits for a slot until ctx ends.
func (s slots) enter(ctx context.Context) error {
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s slots) leave() { <-s }

// budget bounds a number that many holders share, such as bytes.
type budget struct {
	max  int64
	used atomic.Int64
}

// reserve reserves n. It returns false when the holders would exceed the maximum
// together. A single holder may reserve any number.
func (b *budget) reserve(n int64) bool {
	if used := b.used.Add(n); used > b.max && used > n {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }
