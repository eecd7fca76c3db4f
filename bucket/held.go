package bucket

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/bucket/internal/plan"
	"github.com/timeblob/timeblob/index"
)

// Held lists a tenant's values that a collector has at one moment and that may
// not be in the index yet. A Querier first asks for Held and then reads the
// index. The two together give an answer that holds each value once.
type Held[T any] struct {
	// Version changes when a tick with a value is sealed, and when the entry of
	// a sealed value changes. The part before its last dash identifies the
	// collector's process. Without that part a question can count a value twice if
	// the process is killed meanwhile and another one takes over its journal.
	Version string
	// Next is an instant in Unix nanoseconds. Values that are sealed later have
	// this instant or a later one, unless the clock is set back.
	Next int64
	// Since is the instant of the last seal, in Unix nanoseconds, or one before the earliest
	// value of the open tick if that is older. Values may still come from this instant on, also from
	// the process that takes over the collector's journal. It is 0 when a collector of an earlier
	// version does not send it; the querier then uses Next.
	Since int64
	// Sealed lists the values in the requested range that may not be in the
	// index yet, in the order in which they were sealed.
	Sealed []HeldValue[T]
	// Open is the value of the open tick. IsOpen is false when that tick has no
	// value, or when it will end outside the requested range.
	Open   T
	IsOpen bool
}

// HeldValue is a sealed value on its way into the index.
type HeldValue[T any] struct {
	Entry index.Entry
	// Own says that no other value can get Entry's key. An index entry with this
	// key is then this value, and not one of another writer.
	Own bool
	// Untried says that no attempt to put Entry into the index had begun. An index
	// entry with this key that was read before is then another writer's.
	Untried bool
	Value   T
	// Err says why Value cannot be read; it is a *HeldError. Of a tick that cannot be
	// read or merged as a whole, each value is listed, with the same Entry.
	Err error

	foreign bool // the index entry with the key is another writer's
}

// Held returns the tenant's values with from ≤ instant < to that may not be in
// the index yet. The values are shared: nobody may change them. Held waits for no
// store, but decodes and merges values that are held as blobs. If the open tick has a
// value that does not decode or merge, Held ends the tick.
func (c *Collector[T]) Held(ctx context.Context, tenant string, from, to time.Time) (Held[T], error) {
	start, end, err := spanOf(tenant, from, to)
	if err = cmp.Or(err, ctx.Err()); err != nil {
		return Held[T]{}, err
	}
	for {
		h, again, err := c.heldNow(ctx, tenant, start, end)
		if !again || err != nil {
			return h, err
		}
	}
}

// heldNow is one attempt of Held. It asks for another one when it has ended the open tick.
func (c *Collector[T]) heldNow(ctx context.Context, tenant string, start, end int64) (h Held[T], again bool, err error) {
	since := c.since()
	t := c.tenants.lookup(tenant)
	if t == nil {
		return Held[T]{Version: c.versionOf(0), Next: c.now(), Since: since}, false, nil
	}
	defer t.read()()
	held, err := t.holds(ctx, start, end)
	if err != nil {
		return h, false, err
	}
	h = Held[T]{Version: c.versionOf(held.version), Next: held.next, Since: since, IsOpen: len(held.open) > 0}
	if h.IsOpen {
		if held.first < since {
			h.Since = held.first - 1
		}
		if h.Open, err = c.lazies.value(held.open[0]); err != nil {
			return Held[T]{}, true, t.sealSpoilt(ctx, held.open[0])
		}
	}
	h.Sealed, err = c.heldValues(ctx, tenant, &held)
	return h, false, err
}

// heldValues returns the sealed values of what is held.
func (c *Collector[T]) heldValues(ctx context.Context, tenant string, held *holding[T]) (all []HeldValue[T], err error) {
	values := make([]*lazy[T], len(held.sealed))
	for i, p := range held.sealed {
		values[i] = p.value
	}
	err = c.extras(ctx, tenant, values, held.entries, func(i int, x plan.Extra[T]) {
		all = append(all, HeldValue[T]{Entry: held.entries[i], Own: held.own[i], Untried: held.untried[i], Value: x.Value, Err: x.Err})
	})
	return all, err
}

// holding lists a tenant's values in a range at one moment.
type holding[T any] struct {
	version uint64
	next    int64
	sealed  []*pending[T]
	entries []index.Entry // of the sealed values
	own     []bool        // by sealed value: no other value can get the entry's key
	untried []bool        // by sealed value: it cannot be in the index
	open    []*lazy[T]    // the open tick's value, or none
	first   int64         // the earliest time of its values: the next process gives them no earlier instant
}

// versionOf returns the collector's version with a number.
func (c *Collector[T]) versionOf(n uint64) string {
	return c.id + "-" + strconv.FormatUint(n, 10)
}

// collector returns the part of the version that identifies the collector. It is
// empty when the version is.
func (h *Held[T]) collector() string { return collectorOf(h.Version) }

func collectorOf(version string) string { return version[:max(0, strings.LastIndexByte(version, '-'))] }

// live returns the values that are not among the tenant's entries. The value of
// the open tick has no key, and has the instant Next.
func (h *Held[T]) live(tenant string, entries []index.Entry) (values []plan.Extra[T]) {
	for _, v := range h.Sealed {
		if v.foreign || !names(entries, v.Entry) {
			values = append(values, plan.Extra[T]{Tenant: tenant, Time: v.Entry.Time, Key: v.Entry.Key, Value: v.Value, Err: v.Err})
		}
	}
	if h.IsOpen {
		values = append(values, plan.Extra[T]{Tenant: tenant, Time: h.Next, Value: h.Open})
	}
	return values
}

// provisional returns the instant from which values may still come into a range
// that ends at end. It returns the zero time when no more values may come.
func (h *Held[T]) provisional(end int64) (t time.Time) {
	since := cmp.Or(h.Since, h.Next)
	if since < end || h.IsOpen {
		t = time.Unix(0, since)
	}
	return t
}

// maxMoved bounds, in nanoseconds, how far a sealed value may move to a later
// instant before it is in the index. It moves by at most a microsecond each time
// that its instant is taken.
const maxMoved = int64(time.Millisecond)

// outlived reports whether the entries, which were read after h, may have a value of h at
// another instant. If h's process was killed since then, the next process chooses one: for a
// sealed value any, and for a value of the open tick one after Since. beside is the last instant
// of the values that other sources have sealed: one of them may be the next process.
func (h *Held[T]) outlived(entries []index.Entry, beside int64) bool {
	after := cmp.Or(h.Since, h.Next) + 1
	return h.IsOpen && (beside >= after || hasWithin(entries, after, math.MaxInt64)) ||
		slices.ContainsFunc(h.Sealed, func(v HeldValue[T]) bool { return !names(entries, v.Entry) })
}

// newest returns the last instant of the sealed values.
func (h *Held[T]) newest() int64 {
	last := int64(math.MinInt64)
	for _, v := range h.Sealed {
		last = max(last, v.Entry.Time)
	}
	return last
}

// doubtful reports whether h and the entries, which were read after h, may not
// fit together, though the process is the same. There are three cases: the open tick may
// have ended since h was read; a value may have moved to a later instant; or an entry with
// the key of a value may be another writer's.
func (h *Held[T]) doubtful(entries []index.Entry) bool {
	if hasWithin(entries, h.Next, math.MaxInt64) {
		return true
	}
	return slices.ContainsFunc(h.Sealed, func(v HeldValue[T]) bool {
		if names(entries, v.Entry) {
			return !v.Own
		}
		return hasWithin(entries, v.Entry.Time, v.Entry.Time+maxMoved)
	})
}

// confirmed reports whether h and the entries fit together. Now was read after the
// entries, and tells whether an entry with the key of a value is another writer's.
// If its version differs from h's, or if it cannot tell, both must be read again.
func (h *Held[T]) confirmed(now *Held[T], entries []index.Entry) bool {
	if h.Version != now.Version {
		return false
	}
	for i := range h.Sealed {
		v := &h.Sealed[i]
		if v.Own || !names(entries, v.Entry) {
			continue
		}
		v.foreign = slices.ContainsFunc(now.Sealed, func(n HeldValue[T]) bool { return n.Untried && n.Entry.Same(v.Entry) })
		if !v.foreign {
			return false
		}
	}
	return true
}

// hasWithin reports whether one of the entries, which ascend, has an instant in
// [from, to].
func hasWithin(entries []index.Entry, from, to int64) bool {
	place, _ := index.Search(entries, from)
	return place < len(entries) && entries[place].Time <= to
}

// inMemory are the instants of values that sources hold, or may seal while a
// question looks. The roll-up of a span that touches one of them may hold the
// value already, so the span is answered from its entries, which can be told from
// the value.
type inMemory []instants

// instants are all instants from one to another, both included.
type instants struct{ from, to int64 }

// touches reports whether the span holds one of the instants.
func (m inMemory) touches(s levels.Span) bool {
	return slices.ContainsFunc(m, func(i instants) bool { return i.from < s.End() && i.to >= s.Start })
}

// covered reports whether a roll-up stands for a span that holds one of the
// instants.
func (m inMemory) covered(s plan.Series) bool {
	return len(m) > 0 && slices.ContainsFunc(s.Rolled, func(p levels.Place) bool { return m.touches(p.Span) })
}

// inMemoryOf returns the instants of sealed values. Each may still move.
func inMemoryOf[T any](sealed []*pending[T]) (all inMemory) {
	for _, p := range sealed {
		_, e := p.state()
		all = append(all, instants{e.Time, e.Time + maxMoved})
	}
	return all
}

// reading says what a question reads of the index.
type reading struct {
	entries bool          // all entries, and no roll-ups
	step    time.Duration // of the question's slices; 0 when there is one
}

// read returns what a tenant's part of a range is answered from. No roll-up that
// it returns holds a value at one of the instants.
func (q *Quantizer[T]) read(ctx context.Context, tenant string, from, to int64, how reading, held inMemory) (plan.Series, error) {
	if how.entries {
		entries, err := q.past.Entries(ctx, tenant, from, to)
		return plan.Series{Tenant: tenant, Entries: entries}, err
	}
	return q.past.Read(ctx, tenant, from, to, plan.View{Skip: held.touches, Step: int64(how.step)})
}
