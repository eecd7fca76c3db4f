package bucket

import (
	"cmp"
	"context"
	"errors"
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
//
// When values of the window do not decode or merge, At returns an error that names them,
// or a partial answer without them, in which each tick counts as a value of its own. A
// window of more than eight ticks holds only merges; At then answers as Range does, from
// memory and the store.
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
// start, which At includes. Values that do not decode or merge are an error.
func (c *Collector[T]) Recent(ctx context.Context, tenant string) (v T, err error) {
	if err := index.CheckTenant(tenant); err != nil {
		return v, err
	}
	window, err := c.liveWindow(ctx, tenant, c.now())
	if err != nil {
		return v, err
	}
	a, err := c.mergeWindow(ctx, tenant, window, nil)
	return a.Value, err
}

// mergeWindow returns the merge of what liveWindow returned.
func (c *Collector[T]) mergeWindow(ctx context.Context, tenant string, window []plan.Extra[T], opts *RangeOptions) (a Answer[T], err error) {
	switch {
	case len(window) == 0:
		return a, nil
	case len(window) == 1 && window[0].Err == nil:
		return Answer[T]{Value: window[0].Value, Entries: 1}, nil
	}
	return c.past.answer(ctx, plan.Question[T]{Series: []plan.Series{{Tenant: tenant}}, Extra: window, Partial: opts.orDefault().Partial})
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
	from := now - int64(c.opts.Window) + 1
	if _, spoilt := errors.AsType[*windowError](err); spoilt {
		return c.Range(ctx, tenant, time.Unix(0, from), time.Unix(0, now).Add(c.opts.Window), opts)
	}
	if err != nil {
		return a, err
	}
	if !c.opts.Alone || from >= started {
		return c.mergeWindow(ctx, tenant, window, opts)
	}
	g, err := c.gather(ctx, []string{tenant}, time.Unix(0, from), time.Unix(0, started), opts, reading{})
	if err != nil {
		return a, err
	}
	// The open tick is in the window already.
	g.question.Extra = slices.DeleteFunc(g.question.Extra, func(v plan.Extra[T]) bool { return v.Key == "" })
	g.question.Extra = append(g.question.Extra, window...)
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
			yieldInOrder(c.past.past.Values(ctx, g.question), tenant, &g.question, yield)
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
	start, end, err := spanOf(tenant, from, to)
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
	start, end, err := spanOf(tenant, from, to)
	if err != nil {
		return nil, err
	}
	return c.past.entries(ctx, tenant, start, end)
}

// known returns the entries of a tenant, and its values that are not among them.
// It watches the tenant while it asks the index: so it misses no value that
// becomes discoverable meanwhile, and no value that is older than another one
// that the index has already. It compares what it saw with the entries, so that
// no value counts twice, and lets no roll-up stand for a span of such a value.
func (c *Collector[T]) known(ctx context.Context, id string, from, to int64, how reading) (k known[T], err error) {
	for again := true; again && err == nil; {
		k, again, err = c.knownNow(ctx, id, from, to, how)
	}
	return k, err
}

// knownNow is one attempt of known. It asks for another one when the tenant, or what is
// stored of it, has changed meanwhile.
func (c *Collector[T]) knownNow(ctx context.Context, id string, from, to int64, how reading) (k known[T], again bool, err error) {
	t := c.tenants.lookup(id)
	defer t.read()()
	w, err := t.watch(ctx)
	if err != nil {
		return k, false, err
	}
	series, err := c.past.read(ctx, id, from, to, how, w.begun)
	since := c.since()
	open, next, openErr := t.unwatch(ctx, w, from, to)
	if err = cmp.Or(err, openErr); err != nil {
		return k, false, err
	}
	if c.tenants.lookup(id) != t {
		return k, true, nil // a tenant that came, or came back, meanwhile was not watched
	}
	if inMemoryOf(w.sealed).covered(series) {
		return k, true, nil // a value of the span was sealed meanwhile
	}
	extra, times, err := missing(ctx, w.sealed, series.Entries, from, to)
	if err != nil {
		return k, false, err
	}
	k.series = series
	err = c.extras(ctx, id, append(extra, open...), append(times, index.Entry{Time: next}), func(_ int, x plan.Extra[T]) {
		k.live = append(k.live, x)
	})
	if to > since {
		k.provisional = time.Unix(0, since)
	}
	return k, false, err
}

// read begins a question that reads what is held of the tenant; nil is a tenant that
// holds nothing. The question calls ended when it has the values.
func (t *tenant[T]) read() (ended func()) {
	if t == nil {
		return func() {}
	}
	t.readers.Add(1)
	return func() { t.readers.Add(-1) }
}

// extras makes parts of a question of lazy values, whose entries would be those given,
// and passes each to take, with the value's place. If a value cannot be read, it makes
// parts of the single values that were merged into it. So a value that does not decode
// or merge hides no other. The error is the context's.
func (c *Collector[T]) extras(ctx context.Context, tenant string, held []*lazy[T], entries []index.Entry, take func(i int, x plan.Extra[T])) error {
	values, failed := c.lazies.values(ctx, held)
	for i, l := range held {
		x := plan.Extra[T]{Tenant: tenant, Time: entries[i].Time, Key: entries[i].Key}
		if failed == nil {
			x.Value, x.Values = values[i], l.values
			take(i, x)
			continue
		}
		pieces, err := c.lazies.pieces(ctx, l)
		if err != nil {
			return err
		}
		for _, p := range pieces {
			x.Values = p.values
			if x.Value, x.Err = p.value, nil; p.err != nil {
				x.Err = &HeldError{Tenant: tenant, Time: time.Unix(0, x.Time), Err: p.err}
			}
			take(i, x)
		}
	}
	return nil
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

// windowError says that the live window has many ticks, and that some of them do not
// merge. Only the store can tell which ones.
type windowError struct {
	tenant string
	err    error
}

func (e *windowError) Error() string {
	return fmt.Sprintf("the live window of tenant %q: %v", e.tenant, e.err)
}

func (e *windowError) Unwrap() error { return e.err }

// liveWindow returns the value of a tenant's live window, if it has one. Where values
// of the window cannot be decoded or merged, it returns all of them, or a *windowError.
// Of questions about one tenant, one at a time merges; the others wait and find its
// answer.
func (c *Collector[T]) liveWindow(ctx context.Context, tenant string, now int64) ([]plan.Extra[T], error) {
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
	defer t.read()()
	l, err := t.look(ctx, now)
	if err != nil {
		return nil, err
	}
	values := l.answer
	if values == nil {
		if values, err = c.sum(ctx, t, &l); err != nil {
			return c.windowParts(ctx, t, &l)
		}
	}
	window := make([]plan.Extra[T], len(values))
	for i, v := range values {
		window[i] = plan.Extra[T]{Tenant: tenant, Time: now, Value: v}
	}
	return window, nil
}

// sum merges a live window, and has its tenant keep the merges for later questions.
func (c *Collector[T]) sum(ctx context.Context, t *tenant[T], l *live[T]) ([]T, error) {
	if l.few && len(l.sealed) > 1 {
		sum, err := c.lazies.join(ctx, l.sealed)
		if err != nil {
			return nil, err
		}
		t.keepSum(ctx, l, sum)
		l.sealed = []*lazy[T]{sum}
	}
	parts := append(l.sealed, l.rest...)
	if len(parts) == 0 {
		return nil, nil
	}
	v, err := c.lazies.merge(ctx, parts)
	if err != nil {
		return nil, err
	}
	if len(parts) > 1 { // a value alone may be held as its blob
		t.keepAnswer(ctx, l, v)
	}
	return []T{v}, nil
}

// windowParts returns the values of a live window that do not merge or decode.
func (c *Collector[T]) windowParts(ctx context.Context, t *tenant[T], l *live[T]) ([]plan.Extra[T], error) {
	parts := append(l.sealed, l.rest...)
	entries, err := t.entriesOf(ctx, parts)
	if err != nil {
		return nil, err
	}
	var all []plan.Extra[T]
	err = c.extras(ctx, t.id, parts, entries, func(_ int, x plan.Extra[T]) { all = append(all, x) })
	return all, err
}
