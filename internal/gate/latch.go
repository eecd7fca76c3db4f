package gate

import "context"

// Latch is a mutex that can be waited for with a context, for what may be held for
// long. NewLatch makes one.
type Latch chan struct{}

// NewLatch returns a latch that nobody holds.
func NewLatch() Latch { return make(Latch, 1) }

// Lock waits until nobody holds the latch, and then holds it.
func (l Latch) Lock() { l <- struct{}{} }

// Unlock lets the latch go.
func (l Latch) Unlock() { <-l }

// LockContext is Lock that gives up when ctx ends, and then returns its error. A latch
// that nobody holds is had at once, also when ctx has ended.
func (l Latch) LockContext(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	default:
	}
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
