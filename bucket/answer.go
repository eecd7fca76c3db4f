package bucket

import (
	"cmp"
	"context"
	"time"

	"github.com/timeblob/timeblob/index"
)

// At returns the merge of the window that ends at an instant. From the last
// seal on that is the live window: the open tick and the sealed ones that
// ended less than a window before the last seal, at the cost of at most two
// merges; for a window after the clock was set back, only what came since.
// Any earlier instant is Range(at − window, at). The value is shared: nobody
// may change it.
func (c *Collector[T]) At(ctx context.Context, tenant string, at time.Time) (v T, err error) {
	if err := index.CheckTenant(tenant); err != nil {
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
	now := c.now()
	window, err := c.liveWindow(ctx, tenant, now)
	if err != nil {
		return v, err
	}
	from, started := now-int64(c.opts.Window)+1, c.shared.started.Load()
	if !c.opts.Alone || from >= started {
		return mergeParts(c.user.merge, window)
	}
	entries, before, err := c.known(ctx, tenant, from, started)
	if err != nil {
		return v, err
	}
	return c.past.merge(ctx, tenant, entries, from, started, append(before, window...)...)
}

// Range returns the merge of every value of the tenant with from ≤ instant
// < to, in the index or not yet. The instant of a tick that is still open is
// yet to come: a range that ends in the future holds it as of now, one that
// ends before the answer is made does not. It is exact, or an error. The value
// is shared: nobody may change it.
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
	if held, err := c.holds(tenant, start, end); held || err != nil {
		return held, err
	}
	return c.past.has(ctx, tenant, start, end)
}

// holds reports whether a value in [from, to) is in memory.
func (c *Collector[T]) holds(id string, from, to int64) (bool, error) {
	t := c.tenants.lookup(id)
	if t == nil {
		return false, nil
	}
	held, err := t.holds(from, to)
	return len(held.sealed)+len(held.open) > 0, err
}

// Entries returns the index's entries of the tenant with from ≤ Time < to, in
// order.
func (c *Collector[T]) Entries(ctx context.Context, tenant string, from, to time.Time) ([]index.Entry, error) {
	start, end, err := c.span(tenant, from, to)
	if err != nil {
		return nil, err
	}
	return c.past.entries(ctx, tenant, start, end)
}

func (c *Collector[T]) span(tenant string, from, to time.Time) (start, end int64, err error) {
	if err := index.CheckTenant(tenant); err != nil {
		return 0, 0, err
	}
	return span(from, to)
}

// known returns the entries of [from, to) and the values in it that are not
// among them. The tenant is watched while the index is asked, so that none is
// missed that becomes discoverable meanwhile, nor one older than another that
// the index has already; and what was seen is compared with the entries, so
// that none counts twice.
func (c *Collector[T]) known(ctx context.Context, id string, from, to int64) ([]index.Entry, []T, error) {
	for {
		t := c.tenants.lookup(id)
		w := t.watch()
		entries, err := c.past.entries(ctx, id, from, to)
		open, openErr := t.unwatch(w, from, to)
		if err = cmp.Or(err, openErr); err != nil {
			return nil, nil, err
		}
		if c.tenants.lookup(id) != t {
			continue // a tenant that came, or came back, meanwhile was not watched
		}
		extra, err := missing(ctx, w.sealed, entries, from, to)
		if err != nil {
			return nil, nil, err
		}
		values, err := c.lazies.values(ctx, append(extra, open...))
		return entries, values, err
	}
}

// watch is what a question sees of a tenant: the values that were held when it
// began, and the values sealed since.
type watch[T any] struct {
	sealed []*pending[T] // guarded by the tenant's mu until unwatch
}

// missing returns the sealed values whose instants are in [from, to) and that
// are not among the entries.
func missing[T any](ctx context.Context, sealed []*pending[T], entries []index.Entry, from, to int64) (values []*lazy[T], err error) {
	for _, p := range sealed {
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
