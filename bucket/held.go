package bucket

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/plan"
	"github.com/timeblob/timeblob/index"
)

// Held is what a collector holds of a tenant, at one moment, that the index
// may not have yet. With the index as it is read after that moment, a Querier
// makes an answer of it that holds everything once.
type Held[T any] struct {
	// Version is another one after each seal of a tick that held a value, and
	// after each change of a sealed value's entry. Up to its last dash it is
	// the same for all of a collector's, and no other collector's.
	Version string
	// Next is an instant, Unix nanoseconds, that no value sealed later
	// precedes unless the clock is set back.
	Next int64
	// Since is the instant of the last seal, Unix nanoseconds: from there on
	// values may still come. 0 is unknown, as collectors of earlier versions do
	// not send it; Next then stands for it.
	Since int64
	// Sealed are the values not known to be in the index, of the range that
	// was asked for, in the order in which they were sealed.
	Sealed []HeldValue[T]
	// Open is the value of the open tick. IsOpen is false when it has none, or
	// when its instant to come is out of the range.
	Open   T
	IsOpen bool
}

// HeldValue is a sealed value on its way into the index.
type HeldValue[T any] struct {
	Entry index.Entry
	// Own says that Entry's key is this value's for good: an entry with this
	// key in the index is the value's own and not another writer's.
	Own   bool
	Value T
}

// Held returns what the collector holds of a tenant with from ≤ instant < to
// that may not be in the index yet. Values are shared: nobody may change them.
// It costs no merge, waits for no store, and decodes what is held as its blob.
func (c *Collector[T]) Held(ctx context.Context, tenant string, from, to time.Time) (Held[T], error) {
	start, end, err := c.span(tenant, from, to)
	if err = cmp.Or(err, ctx.Err()); err != nil {
		return Held[T]{}, err
	}
	since := c.since()
	t := c.tenants.lookup(tenant)
	if t == nil {
		return Held[T]{Version: c.versionOf(0), Next: c.now(), Since: since}, nil
	}
	held, err := t.holds(start, end)
	if err != nil {
		return Held[T]{}, err
	}
	h := Held[T]{Version: c.versionOf(held.version), Next: held.next, Since: since, IsOpen: len(held.open) > 0}
	values, err := c.lazies.values(ctx, held.values())
	if err != nil {
		return Held[T]{}, err
	}
	for i, e := range held.entries {
		h.Sealed = append(h.Sealed, HeldValue[T]{Entry: e, Own: held.own[i], Value: values[i]})
	}
	if h.IsOpen {
		h.Open = values[len(held.entries)]
	}
	return h, nil
}

// holding is what a tenant holds in a range, at one moment.
type holding[T any] struct {
	version uint64
	next    int64
	sealed  []*pending[T]
	entries []index.Entry // of the sealed values
	own     []bool        // likewise: whether the entry's key is this value's for good
	open    []*lazy[T]    // the open tick's value, or none
}

// values returns the sealed values, then the open tick's.
func (h *holding[T]) values() (values []*lazy[T]) {
	for _, p := range h.sealed {
		values = append(values, p.value)
	}
	return append(values, h.open...)
}

// versionOf makes a version of this collector of a number.
func (c *Collector[T]) versionOf(n uint64) string {
	return c.id + "-" + strconv.FormatUint(n, 10)
}

// collector returns what the versions of a collector have in common; empty for
// what nobody holds.
func (h *Held[T]) collector() string {
	return h.Version[:max(0, strings.LastIndexByte(h.Version, '-'))]
}

// live returns the values that are not among the entries of a tenant. An open
// tick has the instant at which it would end now, and no key.
func (h *Held[T]) live(tenant string, entries []index.Entry) (values []plan.Extra[T]) {
	for _, v := range h.Sealed {
		if !names(entries, v.Entry) {
			values = append(values, plan.Extra[T]{Tenant: tenant, Time: v.Entry.Time, Key: v.Entry.Key, Value: v.Value})
		}
	}
	if h.IsOpen {
		values = append(values, plan.Extra[T]{Tenant: tenant, Time: h.Next, Value: h.Open})
	}
	return values
}

// provisional returns the instant from which on values may still come into a
// range that ends at an instant; the zero time when none may.
func (h *Held[T]) provisional(end int64) (t time.Time) {
	since := cmp.Or(h.Since, h.Next)
	if since < end || h.IsOpen {
		t = time.Unix(0, since)
	}
	return t
}

// maxMoved is how much later, in nanoseconds, a sealed value may be found in
// the index than it was held for: instants that are taken move it on, by a
// microsecond at the most each time.
const maxMoved = int64(time.Millisecond)

// doubtful reports whether entries, which were read after h, may hold one of
// its values without naming it, or one that was sealed since and not another
// that was sealed before that: the open tick may have ended, a value may have
// moved, or a key be another writer's.
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

// confirmed reports whether a version seen after the entries were read shows
// that they belong together with h. Where it was open whose an entry is, it
// takes another look at both.
func (h *Held[T]) confirmed(version string, entries []index.Entry) bool {
	return h.Version == version && !slices.ContainsFunc(h.Sealed, func(v HeldValue[T]) bool {
		return !v.Own && names(entries, v.Entry)
	})
}

// hasWithin reports whether entries, which ascend, have one of [from, to].
func hasWithin(entries []index.Entry, from, to int64) bool {
	place, _ := index.Search(entries, from)
	return place < len(entries) && entries[place].Time <= to
}
