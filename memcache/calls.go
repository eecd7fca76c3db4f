package memcache

import (
	"context"
	"time"

	"github.com/timeblob/timeblob/internal/gate"
)

// calls are a tier's calls that are under way. Closing the tier ends them and waits
// for them.
type calls struct {
	gate   gate.Gate
	all    context.Context // ends when the tier is closed
	endAll context.CancelFunc
}

func newCalls() *calls {
	all, endAll := context.WithCancel(context.Background())
	return &calls{all: all, endAll: endAll}
}

// begin admits a call. Its context ends with ctx, after timeout, or when the
// tier is closed: ended says which. end must be called once.
func (c *calls) begin(ctx context.Context, timeout time.Duration) (bounded context.Context, end func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if !c.gate.Enter() {
		return nil, nil, ErrClosed
	}
	ending, cancel := context.WithCancelCause(ctx)
	forget := context.AfterFunc(c.all, func() { cancel(ErrClosed) })
	bounded, release := context.WithTimeout(ending, timeout)
	return bounded, func() {
		forget()
		release()
		cancel(nil)
		c.gate.Leave()
	}, nil
}

// close admits no more calls, ends those under way and waits for them.
func (c *calls) close() {
	idle := c.gate.Close()
	c.endAll()
	<-idle
}

// ended returns why the context of a call did: ErrClosed, or the context's own
// error.
func ended(ctx context.Context) error {
	if context.Cause(ctx) == ErrClosed {
		return ErrClosed
	}
	return ctx.Err()
}
