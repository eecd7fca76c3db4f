// Package claims lets one goroutine at a time work on a key.
package claims

import (
	"context"
	"sync"
)

// Claims are the keys that somebody works on. The zero value is ready. It is
// safe for any number of goroutines.
type Claims struct {
	mu   sync.Mutex
	held map[string]chan struct{} // by key; closed when the holder frees it; guarded by mu
}

// Claim claims all the keys at once, so two takers cannot wait for each other,
// and waits while any is taken. The caller must call free, once. The error is the context's.
func (c *Claims) Claim(ctx context.Context, keys ...string) (free func(), err error) {
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
func (c *Claims) try(keys []string, mine chan struct{}) (other chan struct{}) {
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

func (c *Claims) free(keys []string, mine chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		delete(c.held, key)
	}
	close(mine)
}
