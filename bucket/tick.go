package bucket

import "fmt"

// largeTick returns how many bytes of memory the value of a tick takes before
// the values that it is merged of are kept too. They make it possible to store a
// tick whose blob the store finds too large as several entries.
func largeTick(maxBlob int64) int64 { return min(256<<10, maxBlob/8) }

// openTick is a tenant's open tick. The tenant's mutex guards it.
type openTick[T any] struct {
	value *lazy[T] // the merge of what arrived; nil when nothing has
	owned bool     // value belongs to the collector alone: Into may change it
	shown *lazy[T] // a clone of an owned value for readers; nil until one asks

	parts  []*lazy[T] // values whose merge is value, once the tick is large
	asBlob bool       // value is the only one, and size counts its blob alone
	begun  int64      // when its first value arrived, Unix nanoseconds
	latest int64      // when its last value arrived
	adds   int        // values that arrived
	size   int64      // bytes counted as pending

	weight  int64 // at least the bytes of memory that value takes
	weighAt int64 // the weight at which to weigh value again
}

// start makes v, of a size, the first value of the tick.
func (k *openTick[T]) start(v *lazy[T], size, now int64) {
	*k = openTick[T]{value: v, asBlob: !v.isDecoded(), begun: now, latest: now, adds: 1, size: size, weight: size}
}

// recount adds what the first value takes more than the blob it was counted
// for.
func (k *openTick[T]) recount(more int64) {
	k.asBlob, k.size, k.weight = false, k.size+more, k.weight+more
}

// merge merges v, of a size, into the tick. Both must be decoded. The tick is
// as before when merge fails, except that an Into that panics may leave its
// half-done work behind.
func (k *openTick[T]) merge(u *userFuncs[T], v *lazy[T], size, now int64) error {
	k.keepParts(u, size)
	if u.opts.Into == nil {
		merged, err := u.merge([]T{k.value.form.Load().value, v.form.Load().value})
		if err != nil {
			return err
		}
		k.value = decodedWith(merged, nil)
	} else if err := k.mergeInto(u, v.form.Load().value); err != nil {
		return err
	}
	k.latest, k.adds, k.size, k.weight, k.shown = max(k.latest, now), k.adds+1, k.size+size, k.weight+size, nil
	if k.parts != nil {
		k.parts = append(k.parts, v)
	}
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

// keepParts begins to keep what the value is merged of, once it and another
// value of a size are large together.
func (k *openTick[T]) keepParts(u *userFuncs[T], size int64) {
	large := largeTick(u.opts.MaxBlob)
	if k.parts != nil || k.weight+size < max(large, k.weighAt) {
		return
	}
	if k.adds > 1 {
		k.weigh(u)
	}
	if k.weight+size < large {
		return
	}
	if whole, err := k.show(u); err == nil { // else the tick is whole, but cannot be split
		k.parts = []*lazy[T]{whole}
	}
}

// weigh weighs the value, which may take less than what arrived.
func (k *openTick[T]) weigh(u *userFuncs[T]) {
	if size, err := u.weigh(k.value.form.Load().value); err == nil {
		k.weight = min(k.weight, size)
	}
	k.weighAt = 2 * k.weight
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
