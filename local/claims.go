package local

import (
	"context"
	"sync"
)

// claims keeps writers of the same key apart and lets writers of others pass:
// a claim is held across a sync, and syncs are to be shared. The zero value is
// ready.
type claims struct {
	mu   sync.Mutex
	held map[string]chan struct{} // by key; closed when the holder frees it; guarded by mu
}

// claim claims all the keys at once, so two takers cannot wait for each other,
// and waits while any is taken. The caller must call free, once.
func (c *claims) claim(ctx context.Context, keys ...string) (free func(), err error) {
	mine := make(chan struct{})
	for {
		other := c.try(keys, mine)
		if other == nil {
			return func() { c.free(keys, mine) }, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// try claims all keys, or none and returns what closes when one may be free.
func (c *claims) try(keys []string, mine chan struct{}) (other chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		if other := c.held[key]; other != nil {
			return other
		}
	}
	if c.held == nil {
		c.held = make(map[string]chan struct{})
	}
	for _, key := range keys {
		c.held[key] = mine
	}
	return nil
}

func (c *claims) free(keys []string, mine chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		delete(c.held, key)
	}
	close(mine)
}
