package bucket

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/plan"
	"github.com/timeblob/timeblob/index"
)

// At returns the merge of the window that ends at an instant. From the last
// seal on that is the live window: the open tick and the sealed ticks that
// ended less than a window before the last seal, at the cost of at most two
// merges, and counted as one value; for a window after the clock was set back,
// only what came since. For any earlier instant it is Range(at − window, at).
func (c *Collector[T]) At(ctx context.Context, tenant string, at time.Time, opts *RangeOptions) (a Answer[T], err error) {
	if err := index.CheckTenant(tenant); err != nil {
		return a, err
	}
	since := c.since()
	if !c.Live(at) {
		return c.Range(ctx, tenant, at.Add(-c.opts.Window), at, opts)
	}
	if a, err = c.live(ctx, tenant, opts); err != nil {
		return Answer[T]{}, err
	}
	a.Provisional = time.Unix(0, since)
	return a, nil
}

// since returns the instant of the last seal: from there on values may come.
// A question calls it before it looks at values, so that no later seal hides that
// an open tick was included. After the clock was set back, since is the clock's
// time until ticks are sealed again.
func (c *Collector[T]) since() int64 { return min(c.shared.lastSealed.Load(), c.now()) }

// Recent is the live window from memory alone. For a collector that is alone and
// has not run for a window yet, it lacks what the store holds from before the
// start, which At includes.
func (c *Collector[T]) Recent(ctx context.Context, tenant string) (v T, err error) {
	if err := index.CheckTenant(tenant); err != nil {
		return v, err
	}
	window, err := c.liveWindow(ctx, tenant, c.now())
	if err != nil {
		return v, err
	}
	return mergeParts(c.user.merge, window)
}

// Live reports whether At answers for an instant from the live window.
func (c *Collector[T]) Live(at time.Time) bool {
	return !at.Before(time.Unix(0, c.shared.lastSealed.Load()))
}

// live returns the live window and, for a collector that is alone and has not
// run for a window yet, what the store holds of it from before the start.
func (c *Collector[T]) live(ctx context.Context, tenant string, opts *RangeOptions) (a Answer[T], err error) {
	now, started := c.now(), c.liveFrom(tenant)
	window, err := c.liveWindow(ctx, tenant, now)
	for err == nil && started != c.liveFrom(tenant) { // a deletion emptied the window
		started = c.liveFrom(tenant)
		window, err = c.liveWindow(ctx, tenant, now)
	}
	if err != nil {
		return a, err
	}
	from := now - int64(c.opts.Window) + 1
	if !c.opts.Alone || from >= started {
		a.Value, err = mergeParts(c.user.merge, window)
		a.Entries = len(window)
		return a, err
	}
	g, err := c.gather(ctx, []string{tenant}, time.Unix(0, from), time.Unix(0, started), opts, reading{})
	if err != nil {
		return a, err
	}
	// The open tick is in the window already.
	g.question.Extra = slices.DeleteFunc(g.question.Extra, func(v plan.Extra[T]) bool { return v.Key == "" })
	for _, v := range window {
		g.question.Extra = append(g.question.Extra, plan.Extra[T]{Tenant: tenant, Time: now, Value: v})
	}
	return c.past.merged(ctx, &g)
}

// Range returns the merge of every value of the tenant with from ≤ instant
// < to, in the index or not yet. It is exact, or an error.
//
// A value's instant is the end of its tick, so the instants of values in the
// open tick are yet to come. A range that reaches past the last seal and past
// the arrival of the open tick's first value includes the open tick as it is
// now. Answer.Provisional is the last seal when the range reaches past it: from
// there on values may still come, and the open tick may end outside the range.
func (c *Collector[T]) Range(ctx context.Context, tenant string, from, to time.Time, opts *RangeOptions) (Answer[T], error) {
	return c.RangeMany(ctx, []string{tenant}, from, to, opts)
}

// RangeMany is Range of several tenants, whose values are fetched and merged
// together.
func (c *Collector[T]) RangeMany(ctx context.Context, tenants []string, from, to time.Time, opts *RangeOptions) (a Answer[T], err error) {
	return rounded(from, to, opts, func(from, to time.Time) (Answer[T], error) {
		return c.past.gatherAndAnswer(ctx, func() (gathered[T], error) { return c.gather(ctx, tenants, from, to, opts, reading{}) })
	})
}

// Steps yields the answers for the consecutive slices of [from, to) as
// [Quantizer.Steps] does, with the values that are not in the index yet. The
// open tick is in the slice of its instant to come, and in the last one when
// that is later.
func (c *Collector[T]) Steps(ctx context.Context, tenant string, from, to time.Time, step time.Duration, opts *RangeOptions) iter.Seq2[Step[T], error] {
	return func(yield func(Step[T], error) bool) {
		c.past.steps(ctx, from, to, step, yield, func(from time.Time) (gathered[T], error) {
			return c.gather(ctx, []string{tenant}, from, to, opts, reading{step: step})
		})
	}
}

// Values yields the tenant's values with from ≤ instant < to, in order and
// unmerged: stored ones, then sealed ones on their way, and the open tick.
// See [Quantizer.Values].
func (c *Collector[T]) Values(ctx context.Context, tenant string, from, to time.Time, opts *RangeOptions) iter.Seq2[Value[T], error] {
	return func(yield func(Value[T], error) bool) {
		g, err := c.gather(ctx, []string{tenant}, from, to, opts, reading{entries: true})
		gone, err := c.past.removed(ctx, tenant, from, to, opts, err)
		if begun(tenant, gone, err, yield) {
			yieldInOrder(c.past.past.Values(ctx, g.question), tenant, g.question.Extra, yield)
		}
	}
}

// gather returns what the index and memory have of a range.
func (c *Collector[T]) gather(ctx context.Context, tenants []string, from, to time.Time, opts *RangeOptions, how reading) (gathered[T], error) {
	return c.past.gather(ctx, tenants, from, to, opts, how, c.known)
}

// Has reports whether the tenant has any value with from ≤ instant < to, in
// the index or not yet.
func (c *Collector[T]) Has(ctx context.Context, tenant string, from, to time.Time) (bool, error) {
	start, end, err := c.span(tenant, from, to)
	if err != nil {
		return false, err
	}
	if held, err := c.holds(ctx, tenant, start, end); held || err != nil {
		return held, err
	}
	return c.past.has(ctx, tenant, start, end, nil)
}

// holds reports whether a value in [from, to) is in memory.
func (c *Collector[T]) holds(ctx context.Context, id string, from, to int64) (bool, error) {
	t := c.tenants.lookup(id)
	if t == nil {
		return false, nil
	}
	held, err := t.holds(ctx, from, to)
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

// known returns the entries of a tenant, and its values that are not among them.
// It watches the tenant while it asks the index: so it misses no value that
// becomes discoverable meanwhile, and no value that is older than another one
// that the index has already. It compares what it saw with the entries, so that
// no value counts twice, and lets no roll-up stand for a span of such a value.
func (c *Collector[T]) known(ctx context.Context, id string, from, to int64, how reading) (k known[T], err error) {
	for {
		t := c.tenants.lookup(id)
		w, err := t.watch(ctx)
		if err != nil {
			return k, err
		}
		series, err := c.past.read(ctx, id, from, to, how, w.begun)
		since := c.since()
		open, next, openErr := t.unwatch(ctx, w, from, to)
		if err = cmp.Or(err, openErr); err != nil {
			return k, err
		}
		if c.tenants.lookup(id) != t {
			continue // a tenant that came, or came back, meanwhile was not watched
		}
		if inMemoryOf(w.sealed).covered(series) {
			continue // a value of that span was sealed meanwhile
		}
		extra, times, err := missing(ctx, w.sealed, series.Entries, from, to)
		if err != nil {
			return k, err
		}
		values, err := c.lazies.values(ctx, append(extra, open...))
		if err != nil {
			return k, err
		}
		k.series = series
		for i, v := range values {
			e := index.Entry{Time: next}
			if i < len(times) {
				e = times[i]
			}
			k.live = append(k.live, plan.Extra[T]{Tenant: id, Time: e.Time, Key: e.Key, Value: v})
		}
		if to > since {
			k.provisional = time.Unix(0, since)
		}
		return k, nil
	}
}

// watch is what a question sees of a tenant: the values that were held when it
// began, and the values sealed since.
type watch[T any] struct {
	sealed []*pending[T] // guarded by the tenant's mu until unwatch
	begun  inMemory      // the instants of what was held when the question began
	ended  atomic.Bool   // the question has ended without unwatch
}

// missing returns the sealed values whose instants are in [from, to) and that
// are not among the entries, and their own entries to be.
func missing[T any](ctx context.Context, sealed []*pending[T], entries []index.Entry, from, to int64) (values []*lazy[T], own []index.Entry, err error) {
	for _, p := range sealed {
		found, err := p.among(ctx, entries)
		if err != nil {
			return nil, nil, err
		}
		if _, e := p.state(); !found && e.Time >= from && e.Time < to {
			values, own = append(values, p.value), append(own, e)
		}
	}
	return values, own, nil
}

// live is the live window at one moment.
type live[T any] struct {
	edits, tickEdits uint64
	answer           []T // its value, when that is known
	sealed           []*lazy[T]
	few              bool
	rest             []*lazy[T] // late values, and the open tick's
}

// liveWindow returns the value of a tenant's live window, if it has one. Of
// questions about one tenant, one at a time merges; the others wait and find
// its answer.
func (c *Collector[T]) liveWindow(ctx context.Context, tenant string, now int64) ([]T, error) {
	t := c.tenants.lookup(tenant)
	if t == nil {
		return nil, nil
	}
	select {
	case t.asking <- struct{}{}:
		defer func() { <-t.asking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l, err := t.look(ctx, now)
	if err != nil || l.answer != nil {
		return l.answer, err
	}
	if l.few && len(l.sealed) > 1 {
		v, err := c.lazies.merge(ctx, l.sealed)
		if err != nil {
			return nil, fmt.Errorf("the live window of tenant %q: %w", tenant, err)
		}
		sum := decodedWith(v, nil)
		t.keepSum(&l, sum)
		l.sealed = []*lazy[T]{sum}
	}
	parts := append(l.sealed, l.rest...)
	if len(parts) == 0 {
		return nil, nil
	}
	v, err := c.lazies.merge(ctx, parts)
	if err != nil {
		return nil, fmt.Errorf("the live window of tenant %q: %w", tenant, err)
	}
	if len(parts) > 1 { // a value alone may be held as its blob
		t.keepAnswer(&l, v)
	}
	return []T{v}, nil
}
