package bucket

import (
	"cmp"
	"slices"

	"github.com/timeblob/timeblob/index"
)

// Share is one tenant's part of what a Collector has in memory.
type Share struct {
	Ticks  int   // of the live window, the open one too, in which values came
	Values int   // sealed and not known to be discoverable
	Bytes  int64 // of memory: of those values and of the open tick
}

// Share returns a tenant's part of what the collector has in memory, which is
// nothing for one that it does not know. It merges nothing, but waits while
// another goroutine merges a value of the tenant.
func (c *Collector[T]) Share(tenant string) (s Share) {
	t := c.lookup(tenant)
	if t == nil {
		return s
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s.Ticks = t.window.ticks(c.now() - int64(c.opts.Tick)) // as live questions see them
	s.Values, s.Bytes = len(t.held), t.size
	for _, p := range t.held {
		s.Bytes += p.weight()
	}
	return s
}

// Waiting returns the entries, ascending, that a tenant's sealed values will
// have once they are discoverable, unless one finds its instant taken. One
// that has just become so may be among them still.
func (c *Collector[T]) Waiting(tenant string) []index.Entry {
	t := c.lookup(tenant)
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	entries := make([]index.Entry, len(t.held))
	for i, p := range t.held {
		_, entries[i] = p.state()
	}
	slices.SortFunc(entries, func(a, b index.Entry) int { return cmp.Compare(a.Time, b.Time) })
	return entries
}

// MaxPending returns the limit of Pending, past which Add refuses.
func (c *Collector[T]) MaxPending() int64 { return c.opts.MaxPending }

// ticks returns how many ticks have a value, the open one among them, once
// those are dropped that a Seal at that instant would drop.
func (w *Window[T]) ticks(at int64) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire(at)
	n := w.older.len()
	if w.current.full {
		n++
	}
	return n
}
