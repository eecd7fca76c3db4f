package reports

import (
	"context"
	"sync/atomic"
)

// gate lets as many in at a time as its channel holds.
type gate chan struct{}

// enter waits for a place until ctx ends.
func (g gate) enter(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g gate) leave() { <-g }

// budget is a number of bytes that many share.
type budget struct {
	max  int64
	used atomic.Int64
}

// take reserves n bytes; false when they would be too many together with what
// others hold. Alone, any number fits.
func (b *budget) take(n int64) bool {
	if used := b.used.Add(n); used > b.max && used > n {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }
