package memcache

import (
	"context"
	"sync"
	"time"
)

// calls counts the calls of a tier that are under way, so that Close can end them and wait for them.
type calls struct {
	under sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	closed bool
	last   uint64
	cancel map[uint64]context.CancelCauseFunc
}

// begin starts a call. The call's context ends with ctx, after timeout, or when the tier is closed; ended
// returns the reason. The caller must call end once.
func (c *calls) begin(ctx context.Context, timeout time.Duration) (bounded context.Context, end func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	ending, cancel := context.WithCancelCause(ctx)
	id, err := c.admit(cancel)
	if err != nil {
		cancel(err)
		return nil, nil, err
	}
	bounded, release := context.WithTimeout(ending, timeout)
	return bounded, func() {
		release()
		cancel(nil)
		c.leave(id)
	}, nil
}

func (c *calls) admit(cancel context.CancelCauseFunc) (id uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, ErrClosed
	}
	if c.cancel == nil {
		c.cancel = make(map[uint64]context.CancelCauseFunc)
	}
	c.last++
	c.cancel[c.last] = cancel
	c.under.Add(1)
	return c.last, nil
}

func (c *calls) leave(id uint64) {
	c.mu.Lock()
	delete(c.cancel, id)
	c.mu.Unlock()
	c.under.Done()
}

// close refuses new calls, ends those under way and waits for them.
func (c *calls) close() {
	c.mu.Lock()
	c.closed = true
	for _, cancel := range c.cancel {
		cancel(ErrClosed)
	}
	c.mu.Unlock()
	c.under.Wait()
}

// ended returns why the context of a call ended: ErrClosed, or the context's own error.
func ended(ctx context.Context) error {
	if context.Cause(ctx) == ErrClosed {
		return ErrClosed
	}
	return ctx.Err()
}
