package bucket

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// A tick keeps the values that are merged into it. A tick that cannot be encoded, or
// whose blob the store finds too large, can thus be stored as several entries. When
// more than mostParts came to a tick that is not large, its value is encoded once.
// If that succeeds, the tick forgets the values that were merged into it until then.
const mostParts = 64

// largeTick returns how many bytes of memory the value of a tick takes from which
// on the tick forgets no part: the store may find a blob of all of them too large.
func largeTick(maxBlob int64) int64 { return min(256<<10, maxBlob/8) }

// openTick is a tenant's open tick. The tenant's mutex guards it.
type openTick[T any] struct {
	value *lazy[T] // the merge of what arrived; nil when nothing has
	owned bool     // value belongs to the collector alone: Into may change it
	shown *lazy[T] // a clone of an owned value for readers; nil until one asks

	parts   []*lazy[T] // values whose merge is value; nil when one came, and when the journal has them
	proving *lazy[T]   // the value that is being encoded, to see whether it can be; nil when none is
	proven  int        // how many of parts that value is the merge of
	records []uint64   // of its values in the journal
	asBlob  bool       // value is not decoded, or was not when size was counted
	waiting int        // blobs that are still to be merged into value
	merged  int64      // bytes of size that are counted for their merge, beside the blobs
	begun   int64      // when its first value arrived, Unix nanoseconds
	latest  int64      // when its last value arrived
	adds    int        // values that arrived
	size    int64      // bytes counted as pending

	earliest int64 // begun, or the time of an earlier record: a value arrives when its record is written

	weight  int64 // at least the bytes of memory that value takes
	weighAt int64 // the weight at which to weigh value again
}

// start begins the tick with the value v, which takes size bytes.
func (k *openTick[T]) start(v *lazy[T], size, now int64) {
	*k = openTick[T]{value: v, asBlob: !v.isDecoded(), begun: now, earliest: now, latest: now, adds: 1, size: size, weight: size}
}

// recount adds what the first value takes more than the blob it was counted
// for.
func (k *openTick[T]) recount(more int64) {
	k.asBlob, k.size, k.weight = false, k.size+more, k.weight+more
}

// A tick keeps so many blobs at most, and so many bytes of them, before they are
// merged: decoded they take about 16 times as much memory. Merged in four parts, 60
// small reports take half as much time again as merged at once.
const mostWaiting, mostWaitingBytes = 64, 2 << 20

// mayWait reports whether the tick may keep one more blob until its values are
// merged.
func (k *openTick[T]) mayWait(size int64) bool {
	return k.waiting < mostWaiting && (k.waiting+1)*int(size) <= mostWaitingBytes
}

// wait adds the value of a blob, of a size, to the tick, to be merged later.
func (k *openTick[T]) wait(v *lazy[T], size, now int64) {
	k.keep(v)
	k.value, k.asBlob, k.shown, k.waiting = joined(k.value, v), true, nil, k.waiting+1
	k.latest, k.adds, k.size, k.weight = max(k.latest, now), k.adds+1, k.size+size, k.weight+size
	k.value.values = k.adds
}

// noteMerged notes that the blobs which waited are merged, and that the value takes more
// than was counted.
func (k *openTick[T]) noteMerged(more int64) {
	k.recount(more)
	k.waiting, k.merged = 0, k.merged+more
}

// keep keeps a value that is about to be merged into the tick's, unless the journal
// has it.
func (k *openTick[T]) keep(v *lazy[T]) {
	if len(k.records) > 0 {
		return
	}
	if k.parts == nil {
		k.parts = append(make([]*lazy[T], 0, 4), k.value.smallest())
	}
	k.parts = append(k.parts, v)
}

// merge merges v, of a size, into the tick. Both must be decoded. The tick is
// as before when merge fails.
func (k *openTick[T]) merge(u *userFuncs[T], v *lazy[T], size, now int64) error {
	merged, err := k.mergeValue(u, v.form.Load().value)
	if err != nil {
		return err
	}
	k.keep(v)
	k.value, k.shown = decodedWith(merged, nil), nil
	k.latest, k.adds, k.size, k.weight = max(k.latest, now), k.adds+1, k.size+size, k.weight+size
	k.value.values = k.adds
	return nil
}

// mergeValue merges v into the tick's value. With Into the collector owns that
// value, a clone of the first one that arrived.
func (k *openTick[T]) mergeValue(u *userFuncs[T], v T) (merged T, err error) {
	dst := k.value.form.Load().value
	if u.opts.Into == nil {
		return u.merge([]T{dst, v})
	}
	if !k.owned {
		if dst, err = u.clone(dst); err != nil {
			return dst, err
		}
	}
	merged, err = u.into(dst, v)
	_, panicked := errors.AsType[*PanicError](err)
	switch {
	case err == nil:
		k.owned = true
	case panicked && k.owned:
		k.mergeAgain()
	}
	return merged, err
}

// mergeAgain has the value merged again from what came, since an Into that
// panicked may have changed it.
func (k *openTick[T]) mergeAgain() {
	k.owned, k.shown = false, nil
	if len(k.records) > 0 {
		k.value = restingOn[T](slices.Clone(k.records))
	} else {
		k.value = unmerged(slices.Clip(k.parts))
	}
	k.value.values = k.adds
}

// isLarge reports whether the value takes so much memory that its blob may be too
// large for the store.
func (k *openTick[T]) isLarge(u *userFuncs[T]) bool {
	large := largeTick(u.opts.MaxBlob)
	if k.weight >= max(large, k.weighAt) && k.value.isDecoded() {
		k.weigh(u)
	}
	return k.weight >= large
}

// forget replaces the parts of the value that was proven by the value itself, which can
// be encoded.
func (k *openTick[T]) forget(whole *lazy[T]) {
	k.parts = append([]*lazy[T]{whole}, k.parts[k.proven:]...)
	k.proving = nil
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

// show returns the value in a form that readers may have, or nil when there is none. A
// value that cannot be cloned is merged again from its parts.
func (k *openTick[T]) show(u *userFuncs[T]) *lazy[T] {
	if k.owned && k.shown == nil {
		v, err := u.clone(k.value.form.Load().value)
		if err == nil {
			k.shown = decodedWith(v, nil)
			k.shown.values = k.adds
		} else {
			k.mergeAgain()
		}
	}
	if !k.owned {
		return k.value
	}
	return k.shown
}

// reaches reports whether [from, to) reaches into the open tick: beyond the last
// seal and the arrival of the tick's first value. The tick would end at next.
func (t *tenant[T]) reaches(next, from, to int64) bool {
	return from < to && from <= next && (to > next || to > max(t.last, t.shared.lastSealed.Load(), t.open.begun))
}

// shown returns the open tick's value as readers may have it, or none. The
// caller holds mu.
func (t *tenant[T]) shown() []*lazy[T] {
	if v := t.open.show(t.shared.user); v != nil {
		return []*lazy[T]{v}
	}
	return nil
}

// addNow takes a value into the open tick: as its blob, see mayWait, or by a merge.
// The caller holds mu.
func (t *tenant[T]) addNow(in *input[T], now int64) (need, *lazy[T], error) {
	if t.overdue(now) {
		t.seal(now)
	}
	k := &t.open
	switch {
	case t.mayWait(in):
		return t.addWaiting(in, now)
	case !in.decoded:
		return needValue, nil, nil
	case k.value == nil:
		return needNothing, nil, t.start(decodedWith(in.value, in.blob), in.size+int64(len(in.blob)), now)
	case k.outgrows(t.shared.user, in.size, t.shared.opts.tickLimit()):
		if err := t.shared.budget.check(&t.account, in.size, t.shared.budget.limitOf(t.id)); err != nil {
			return needNothing, nil, err
		}
		t.seal(now)
		return needNothing, nil, t.start(decodedWith(in.value, in.blob), in.size+int64(len(in.blob)), now)
	case !k.value.isDecoded():
		return needTick, k.value, nil
	}
	return needNothing, nil, t.merge(in, now)
}

// mayWait reports whether the open tick may keep a blob as it is. Without
// MergeLater only the first blob of a tick is kept, and only if more values are not
// likely to follow, as they did in the last tick. The caller holds mu.
func (t *tenant[T]) mayWait(in *input[T]) bool {
	opts := t.shared.opts
	later := opts.MergeLater && opts.Into == nil
	switch {
	case in.blob == nil || !t.maySleep():
		return false
	case t.open.value == nil:
		return later || !t.busy
	}
	return later && t.open.mayWait(int64(len(in.blob))) && !t.open.outgrows(t.shared.user, int64(len(in.blob)), opts.tickLimit())
}

// addWaiting adds a blob to the open tick as it is. If a question has merged the
// blobs that wait, their merge takes their place. The caller holds mu.
func (t *tenant[T]) addWaiting(in *input[T], now int64) (need, *lazy[T], error) {
	k, size := &t.open, int64(len(in.blob))
	switch {
	case !in.good():
		return t.needOfBlob(in), nil, nil
	case k.waiting == 0 || !k.value.isDecoded():
		if k.waiting > 0 && t.shared.lazies.recent.Peek(k.value) != nil {
			return needTick, k.value, nil
		}
		if err := t.shared.budget.reserve(&t.account, size); err != nil {
			return needNothing, nil, err
		}
	default:
		more, err := t.decodedSize()
		if err == nil {
			err = t.reserveBeside(size, more)
		}
		if err != nil {
			return needNothing, nil, err
		}
		k.noteMerged(more)
	}
	if l := t.lazyOf(in); k.value == nil {
		k.start(l, size, now)
	} else {
		k.wait(l, size, now)
	}
	t.changed()
	return needNothing, nil, nil
}

// lazyOf returns the lazy value of a blob that came, which may be decoded.
func (t *tenant[T]) lazyOf(in *input[T]) *lazy[T] {
	l := encodedOnly[T](in.blob)
	if in.decoded {
		t.shared.lazies.keepEarly(l, in.value, in.size)
	}
	return l
}

// needOfBlob returns how to find out whether a blob is good. A blob that is likely to be merged is decoded
// at once, in place of its check, if its value may be kept until then. The caller holds mu.
func (t *tenant[T]) needOfBlob(in *input[T]) need {
	if (t.open.value != nil || t.busy) && t.shared.lazies.mayDecodeEarly(in.blob) {
		return needValue
	}
	return needCheck
}

// unproven returns the open tick's value when it is time to see whether it can be
// encoded, and nil otherwise. The caller holds mu.
func (t *tenant[T]) unproven() *lazy[T] {
	k := &t.open
	isProving := k.proving != nil && k.proving != t.unproved.Load()
	if len(k.parts)-k.waiting <= mostParts || isProving || k.isLarge(t.shared.user) {
		return nil
	}
	t.unproved.Store(nil)
	k.proving, k.proven = k.show(t.shared.user), len(k.parts)
	return k.proving
}

// maySleep reports whether values may be held as their blobs alone. In a window
// of many ticks they are merged before anybody asks. The caller holds mu.
func (t *tenant[T]) maySleep() bool { return t.shared.user.decoder != nil && t.ticks.Few() }

// start begins the open tick with a value. The caller holds mu.
func (t *tenant[T]) start(v *lazy[T], size, now int64) error {
	if err := t.shared.budget.reserve(&t.account, size); err != nil {
		return err
	}
	t.open.start(v, size, now)
	t.changed()
	return nil
}

// merge merges a value into the open tick, whose value is decoded. The caller
// holds mu.
func (t *tenant[T]) merge(in *input[T], now int64) error {
	more, err := t.decodedSize()
	if err != nil {
		return err
	}
	if err := t.reserveBeside(in.size, more); err != nil {
		return err
	}
	if t.open.waiting > 0 {
		t.open.noteMerged(more)
		more = 0
	}
	v := decodedWith(in.value, nil)
	err = t.open.merge(t.shared.user, v, in.size, now)
	if err != nil && !inClone(err) && !t.firstIsBad() {
		t.shared.budget.add(&t.account, -in.size-more)
		return fmt.Errorf("merge a value of tenant %q: %w", t.id, err)
	}
	t.open.recount(more)
	if err != nil {
		t.seal(now)
		t.open.start(v, in.size, now)
	}
	t.changed()
	return nil
}

// decodedSize returns how many bytes more the open tick's value takes, now that
// it is decoded and about to be merged, than its blob was counted for. The
// caller holds mu.
func (t *tenant[T]) decodedSize() (more int64, err error) {
	if !t.open.asBlob {
		return 0, nil
	}
	size, err := t.shared.user.weigh(t.open.value.form.Load().value)
	switch {
	case t.open.parts != nil: // the blobs stay beside their merge
		return max(size-t.open.merged, 0), err
	case t.open.waiting > 0:
		return max(size-t.open.size, 0), err
	}
	return size - t.open.size, err
}

// reserveBeside reserves the bytes of a value and what the open tick takes more.
// A refusal names the size of the value alone.
func (t *tenant[T]) reserveBeside(size, more int64) error {
	err := t.shared.budget.reserve(&t.account, size+more)
	if full, ok := err.(*FullError); ok {
		full.Size = size
	}
	return err
}

// inClone reports whether the open tick's value could not be cloned.
func inClone(err error) bool {
	p, ok := errors.AsType[*PanicError](err)
	return ok && p.Func == "clone"
}

// firstIsBad reports whether the tick's only value cannot even be merged with
// itself: then it, and not the value that comes to it, makes the merge fail.
// The caller holds mu.
func (t *tenant[T]) firstIsBad() bool {
	if t.open.adds != 1 {
		return false
	}
	first := t.open.value.form.Load().value
	_, err := t.shared.user.merge([]T{first, first})
	return err != nil
}

// addPast takes a value of a past instant, which is sealed at once. The caller
// holds mu.
func (t *tenant[T]) addPast(in *input[T], now int64) (need, error) {
	var v *lazy[T]
	var size int64
	switch {
	case !in.decoded && in.blob != nil && t.shared.user.decoder != nil:
		if !in.checked {
			return needCheck, nil
		}
		v, size = encodedOnly[T](in.blob), int64(len(in.blob))
	case !in.decoded:
		return needValue, nil
	default:
		v, size = decodedWith(in.value, in.blob), in.size+int64(len(in.blob))
	}
	if err := t.shared.budget.reserve(&t.account, size); err != nil {
		return needNothing, err
	}
	p := newPending(t, v, size)
	p.fresh = true
	if in.record != 0 {
		p.records = []uint64{in.record}
	}
	p.name(in.at)
	v.at = in.at
	t.hold(p)
	t.showPast(v, in.at, now)
	return needNothing, nil
}

// showPast makes a value of a past instant a part of the live window, if that
// reaches back so far. The caller holds mu.
func (t *tenant[T]) showPast(v *lazy[T], at, now int64) {
	if now-at < int64(t.shared.opts.Window) && (!t.shared.opts.Alone || at >= t.liveFrom()) {
		t.ticks.Insert(v, at)
		t.changed()
	}
}

// overdue reports whether Run should have ended the open tick by now: its first
// value is a tick old. The value that comes now then begins another, so that
// none is in the live window for longer than the window and a tick. The caller
// holds mu.
func (t *tenant[T]) overdue(now int64) bool {
	return t.open.value != nil && t.shared.running.Load() && now-t.open.begun >= int64(t.shared.opts.Tick)
}

// leaves returns the instant from which on a tick's age counts in the live
// window. It is no later than a tick after its first value came, so that a late
// seal does not make that value live longer, and not before its last value came.
// The caller holds mu.
func (t *tenant[T]) leaves(k *openTick[T], at int64, back bool) int64 {
	if back {
		return at
	}
	ended := max(k.latest, min(at, k.begun+int64(t.shared.opts.Tick)))
	if before, ok := t.ticks.Last(); ok {
		ended = max(ended, before)
	}
	return ended
}

// backwards is how far a clock may go back, in nanoseconds, before it is taken
// to have been set.
const backwards = int64(time.Second)

// next returns the instant of the open tick if it ended now: one after the
// last, unless the clock was set back, which is followed. The caller holds mu.
func (t *tenant[T]) next(now int64) int64 {
	if now <= t.last && t.last-now < backwards {
		return t.last + 1
	}
	return now
}
