package bucket

import (
	"context"
	"slices"
	"time"
)

// At returns the merge of the window that ends at an instant. From the last
// seal on that is the live window: the current tick and the sealed ones
// before it, at the cost of at most two merges. Any earlier instant is
// Range(at − window, at). The value is shared: nobody may change it.
func (c *Collector[T]) At(ctx context.Context, tenant string, at time.Time) (v T, err error) {
	if err := CheckTenant(tenant); err != nil {
		return v, err
	}
	if c.Live(at) {
		return c.live(ctx, tenant)
	}
	return c.Range(ctx, tenant, at.Add(-c.opts.Window), at)
}

// Live reports whether At answers for an instant from the live window.
func (c *Collector[T]) Live(at time.Time) bool {
	return !at.Before(time.Unix(0, c.lastSealed.Load()))
}

// live returns the live window and, for a collector that is alone and has not
// run for a window yet, what the store holds of it from before the start.
func (c *Collector[T]) live(ctx context.Context, tenant string) (v T, err error) {
	var window cell[T]
	if t := c.lookup(tenant); t != nil {
		if window = t.window.total(); window.err != nil {
			return v, window.err
		}
	}
	from := c.opts.Now().UnixNano() - int64(c.opts.Window)
	if !c.opts.Alone || from >= c.started {
		return window.value, nil
	}
	entries, err := c.past.entries(ctx, tenant, from, c.started)
	if err != nil {
		return v, err
	}
	return c.past.merge(ctx, tenant, entries, from, c.started, window.parts()...)
}

// Range returns the merge of every value of the tenant with from ≤ instant
// < to, in the index or not yet; values of the tick that is still open count
// as of now. It is exact, or an error. The value is shared: nobody may
// change it.
func (c *Collector[T]) Range(ctx context.Context, tenant string, from, to time.Time) (v T, err error) {
	start, end, err := c.span(tenant, from, to)
	if err != nil {
		return v, err
	}
	entries, extra, err := c.known(ctx, tenant, start, end)
	if err != nil {
		return v, err
	}
	return c.past.merge(ctx, tenant, entries, start, end, extra...)
}

// Has reports whether the tenant has any value with from ≤ instant < to, in
// the index or not yet.
func (c *Collector[T]) Has(ctx context.Context, tenant string, from, to time.Time) (bool, error) {
	start, end, err := c.span(tenant, from, to)
	if err != nil {
		return false, err
	}
	held, err := c.hold(tenant, start, end).missing(ctx, nil, start, end)
	if err != nil || len(held) > 0 {
		return len(held) > 0, err
	}
	return c.past.Has(ctx, tenant, from, to)
}

// Entries returns the index's entries of the tenant with from ≤ Time < to, in
// order.
func (c *Collector[T]) Entries(ctx context.Context, tenant string, from, to time.Time) ([]Entry, error) {
	start, end, err := c.span(tenant, from, to)
	if err != nil {
		return nil, err
	}
	return c.past.entries(ctx, tenant, start, end)
}

func (c *Collector[T]) span(tenant string, from, to time.Time) (start, end int64, err error) {
	if err := CheckTenant(tenant); err != nil {
		return 0, 0, err
	}
	return span(from, to)
}

// known returns the entries of [from, to) and the values in it that are not
// among them. The values are noted before the index is asked, so that one
// that becomes discoverable meanwhile is not missed, and compared with what
// it answered, so that it does not count twice.
func (c *Collector[T]) known(ctx context.Context, tenant string, from, to int64) ([]Entry, []T, error) {
	for {
		h := c.hold(tenant, from, to)
		entries, err := c.past.entries(ctx, tenant, from, to)
		if err != nil {
			return nil, nil, err
		}
		if !h.overtaken() {
			extra, err := h.missing(ctx, entries, from, to)
			return entries, extra, err
		}
	}
}

// holding is what a tenant had in memory at one instant.
type holding[T any] struct {
	tenant  *tenant[T]
	sealed  []*pending[T]
	current []T // the open tick, when the question reaches it
	seals   int
}

// hold notes what the collector holds of a tenant for a question about
// [from, to).
func (c *Collector[T]) hold(id string, from, to int64) holding[T] {
	t := c.lookup(id)
	if t == nil {
		return holding[T]{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	h := holding[T]{tenant: t, sealed: slices.Clone(t.held), seals: t.seals}
	if now := max(c.opts.Now().UnixNano(), t.last+1); from <= now && now < to {
		if v, ok := t.window.Current(); ok {
			h.current = []T{v}
		}
	}
	return h
}

// overtaken reports whether the open tick that was noted has been sealed
// since, and so may have been found in the index as well.
func (h holding[T]) overtaken() bool {
	if len(h.current) == 0 {
		return false
	}
	h.tenant.mu.Lock()
	defer h.tenant.mu.Unlock()
	return h.tenant.seals != h.seals
}

// missing returns the values held whose instants are in [from, to) and that
// are not among the entries.
func (h holding[T]) missing(ctx context.Context, entries []Entry, from, to int64) ([]T, error) {
	values := h.current
	for _, p := range h.sealed {
		found, err := p.among(ctx, entries)
		if err != nil {
			return nil, err
		}
		if _, e := p.state(); !found && e.Time >= from && e.Time < to {
			values = append(values, p.value)
		}
	}
	return values, nil
}

// among reports whether a value is one of the entries. Where one bears its
// instant and key, a step of the flush that is under way decides whose it is,
// and among waits for it.
func (p *pending[T]) among(ctx context.Context, entries []Entry) (bool, error) {
	stage, e := p.state()
	if !slices.Contains(entries, e) {
		return false, nil
	}
	if stage >= stored {
		return true, nil
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
		return p.own() && slices.Contains(entries, p.entry), nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
