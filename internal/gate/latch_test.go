package gate

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// TestLatch counts under a latch, and gives up waiting for one that is held.
func TestLatch(t *testing.T) {
	t.Parallel()
	l, n := NewLatch(), 0
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			for range 100 {
				if err := l.LockContext(context.Background()); err != nil {
					t.Error(err)
				}
				n++
				l.Unlock()
			}
		})
	}
	all.Wait()
	ended, end := context.WithCancel(t.Context())
	end()
	if err := l.LockContext(ended); err != nil || n != 1000 {
		t.Errorf("a latch that nobody holds: %v; counted %d", err, n)
	}
	if err := l.LockContext(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("a latch that is held: %v", err)
	}
	l.Unlock()
	l.Lock()
	n++
	l.Unlock()
}
