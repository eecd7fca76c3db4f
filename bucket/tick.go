package bucket

import "fmt"

// largeTick is how many bytes of memory the value of a tick takes before the
// values that it is merged of are kept too. They make it possible to store a
// tick whose blob the store finds too large as several entries.
const largeTick = 256 << 10

// openTick is a tenant's open tick. The tenant's mutex guards it.
type openTick[T any] struct {
	value *lazy[T] // the merge of what arrived; nil when nothing has
	owned bool     // value belongs to the collector alone: Into may change it
	shown *lazy[T] // a clone of an owned value for readers; nil until one asks

	parts  []*lazy[T] // values whose merge is value, once the tick is large
	asBlob bool       // value is the only one, and size counts its blob alone
	begun  int64      // when its first value arrived, Unix nanoseconds
	adds   int        // values that arrived
	size   int64      // bytes counted as pending

	weight  int64 // at least the bytes of memory that value takes
	weighAt int64 // the weight at which to weigh value again
}

// start makes v, of a size, the first value of the tick.
func (k *openTick[T]) start(v *lazy[T], size, now int64) {
	*k = openTick[T]{value: v, asBlob: !v.isDecoded(), begun: now, adds: 1, size: size, weight: size, weighAt: largeTick}
}

// recount adds what the first value takes more than the blob it was counted
// for.
func (k *openTick[T]) recount(more int64) {
	k.asBlob, k.size, k.weight = false, k.size+more, k.weight+more
}

// merge merges v, of a size, into the tick. Both must be decoded. The tick is
// as before when merge fails, except that an Into that panics may leave its
// half-done work behind.
func (k *openTick[T]) merge(u *userFuncs[T], v *lazy[T], size int64) error {
	if u.opts.Into == nil {
		merged, err := u.merge([]T{k.value.form.Load().value, v.form.Load().value})
		if err != nil {
			return err
		}
		k.value = decodedWith(merged, nil)
	} else if err := k.mergeInto(u, v.form.Load().value); err != nil {
		return err
	}
	k.adds, k.size, k.weight, k.shown = k.adds+1, k.size+size, k.weight+size, nil
	k.keepParts(u, v)
	return nil
}

// mergeInto merges v into the value that the collector owns, a clone of the
// first one that arrived.
func (k *openTick[T]) mergeInto(u *userFuncs[T], v T) error {
	dst := k.value.form.Load().value
	if !k.owned {
		var err error
		if dst, err = u.clone(dst); err != nil {
			return err
		}
	}
	dst, err := u.into(dst, v)
	if err != nil {
		return err
	}
	k.value, k.owned = decodedWith(dst, nil), true
	return nil
}

// keepParts keeps what the value is merged of, once that is large.
func (k *openTick[T]) keepParts(u *userFuncs[T], v *lazy[T]) {
	if k.weight >= k.weighAt {
		k.weigh(u)
	}
	switch {
	case k.weight < largeTick:
		k.parts = nil
	case k.parts != nil:
		k.parts = append(k.parts, v)
	default:
		whole, err := k.show(u)
		if err != nil {
			return // the tick is whole, but what it holds so far cannot be split
		}
		k.parts = []*lazy[T]{whole}
	}
}

// weigh weighs the value, which may take less than what arrived.
func (k *openTick[T]) weigh(u *userFuncs[T]) {
	if size, err := u.weigh(k.value.form.Load().value); err == nil {
		k.weight = min(k.weight, size)
	}
	k.weighAt = max(largeTick, 2*k.weight)
}

// outgrows reports whether the tick and another value of a size are more than
// one entry should hold.
func (k *openTick[T]) outgrows(u *userFuncs[T], size, limit int64) bool {
	if k.weight+size <= limit {
		return false
	}
	if k.value.isDecoded() && k.adds > 1 {
		k.weigh(u)
	}
	return k.weight+size > limit
}

// show returns the value as readers may have it; nil when there is none.
func (k *openTick[T]) show(u *userFuncs[T]) (*lazy[T], error) {
	if !k.owned {
		return k.value, nil
	}
	if k.shown == nil {
		v, err := u.clone(k.value.form.Load().value)
		if err != nil {
			return nil, fmt.Errorf("show the open tick: %w", err)
		}
		k.shown = decodedWith(v, nil)
	}
	return k.shown, nil
}
