package gate

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// lock is what a Latch and a Turn have in common.
type lock interface {
	Lock()
	LockContext(ctx context.Context) error
	Unlock()
}

// TestLocks counts under a lock, and gives up waiting for one that is held.
func TestLocks(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]lock{"latch": NewLatch(), "turn": &Turn{}} {
		t.Run(name, func(t *testing.T) { t.Parallel(); testLock(t, l) })
	}
}

func testLock(t *testing.T, l lock) {
	n := 0
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
		t.Errorf("a lock that nobody holds: %v; counted %d", err, n)
	}
	if err := l.LockContext(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("a lock that is held: %v", err)
	}
	l.Unlock()
	l.Lock()
	n++
	l.Unlock()
}

// TestTryLock takes a turn that nobody has, and no other.
func TestTryLock(t *testing.T) {
	t.Parallel()
	var turn Turn
	if !turn.TryLock() || turn.TryLock() {
		t.Error("a turn must be taken once")
	}
	if turn.Unlock(); !turn.TryLock() {
		t.Error("a turn that was given back")
	}
}
