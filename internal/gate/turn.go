package gate

import (
	"context"
	"sync"
)

// Turn is a Latch whose zero value is free. It takes 24 bytes, and allocates nothing while
// nobody waits. Unlock wakes every waiter, so it suits a lock that has few of them.
type Turn struct {
	mu    sync.Mutex    // guards what follows
	held  bool          // somebody has the turn
	freed chan struct{} // closed by Unlock; nil while nobody waits
}

// TryLock takes the turn if nobody has it. It reports whether it did.
func (t *Turn) TryLock() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	had := t.held
	t.held = true
	return !had
}

// tryLock takes the turn, or returns a channel that is closed when it is time to try again.
func (t *Turn) tryLock() (freed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.held {
		t.held = true
		return nil
	}
	if t.freed == nil {
		t.freed = make(chan struct{})
	}
	return t.freed
}

// Lock waits until nobody has the turn, and then takes it.
func (t *Turn) Lock() { _ = t.LockContext(context.Background()) }

// LockContext is Lock that gives up when ctx ends, and then returns its error. A turn
// that nobody has is taken at once, also when ctx has ended.
func (t *Turn) LockContext(ctx context.Context) error {
	for freed := t.tryLock(); freed != nil; freed = t.tryLock() {
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Unlock gives the turn back.
func (t *Turn) Unlock() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = false
	if t.freed != nil {
		close(t.freed)
		t.freed = nil
	}
}
