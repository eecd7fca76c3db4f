package bucket

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/once"
	"github.com/timeblob/timeblob/bucket/internal/outbox"
	"github.com/timeblob/timeblob/bucket/internal/window"
	"github.com/timeblob/timeblob/index"
)

// tenant is what a collector has of one tenant in memory. Its mutex is locked
// in this file only. While it is held no blob is encoded or decoded for a
// caller, and no store is asked; the one merge of an Add, and the merges of a
// window of many ticks, happen under it.
type tenant[T any] struct {
	id      string
	shared  *shared[T]
	account account
	sender  outbox.Sender[*pending[T]]
	asking  chan struct{} // full while a question merges the live window

	mu      sync.Mutex // guards what follows
	open    openTick[T]
	ticks   *window.Ticks[*lazy[T]]
	busy    bool   // several values were added to the last tick
	last    int64  // the last instant given, Unix nanoseconds
	version uint64 // differs after each change of what is held
	held    []*pending[T]
	watches map[*watch[T]]struct{}
	ids     once.IDs
	gone    bool // forgotten by the collector: look the tenant up again

	edits     uint64 // changes of the live window
	tickEdits uint64 // changes of its sealed ticks
	answer    T      // the live window's value, while answered equals edits
	answered  uint64
}

// need says what an Add has to do, without the tenant's mutex, before it tries
// again.
type need int

const (
	needNothing need = iota // the value was added
	needTenant              // the collector has forgotten this tenant
	needCheck               // whether the blob is good
	needValue               // of the blob
	needTick                // the value of the open tick, which is held as its blob
)

// add takes a value into the open tick, or says what it needs for that. first is
// the tick's value when add needs it.
func (t *tenant[T]) add(in *input[T]) (need need, first *lazy[T], err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.shared.now()
	switch {
	case t.gone:
		return needTenant, nil, nil
	case in.hasID && t.seen(in.id, now):
		in.repeated = true
		return needNothing, nil, nil
	case in.past:
		need, err = t.addPast(in, now)
	default:
		need, first, err = t.addNow(in, now)
	}
	if need == needNothing && err == nil && in.hasID {
		t.ids.Add(in.id, now)
	}
	return need, first, err
}

// seen reports whether an id was added within the window. The caller holds mu.
func (t *tenant[T]) seen(id once.ID, now int64) bool {
	t.ids.Expire(now - int64(t.shared.opts.Window))
	return t.ids.Has(id)
}

// addNow merges a value into the open tick. A blob that is the first of its tick
// is kept as it is, unless more values are likely to follow, as they did in the
// last tick. The caller holds mu.
func (t *tenant[T]) addNow(in *input[T], now int64) (need, *lazy[T], error) {
	if t.overdue(now) {
		t.seal(now)
	}
	k := &t.open
	switch {
	case k.value == nil && in.blob != nil && !t.busy && t.maySleep():
		if !in.checked {
			return needCheck, nil, nil
		}
		return needNothing, nil, t.start(encodedOnly[T](in.blob), int64(len(in.blob)), now)
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
	v := decodedWith(in.value, nil)
	err = t.open.merge(t.shared.user, v, in.size, now)
	if err != nil && !t.firstIsBad() {
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
	size := in.size
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
	p.name(in.at)
	t.hold(p)
	if now-in.at < int64(t.shared.opts.Window) && (!t.shared.opts.Alone || in.at >= t.shared.started.Load()) {
		t.ticks.Insert(v, in.at)
		t.changed()
	}
	return needNothing, nil
}

// hold adds a sealed value to what is held and hands it to the outbox. The
// caller holds mu.
func (t *tenant[T]) hold(p *pending[T]) {
	t.version = t.shared.changes.Add(1)
	t.held = append(t.held, p)
	for w := range t.watches {
		w.sealed = append(w.sealed, p)
	}
	t.shared.outbox.Put(&t.sender, p)
	t.shared.sealed()
}

// endTick seals the open tick. An idle tenant is marked as gone instead. The
// clock is looked at under the mutex, so that no question has seen a later time
// while the tick was open.
func (t *tenant[T]) endTick() (idle bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.shared.now()
	if t.open.value != nil {
		t.seal(now)
		return false
	}
	if t.ticks.Rewind(t.next(now)) {
		t.ticksChanged()
	}
	t.expire(now)
	t.ids.Expire(now - int64(t.shared.opts.Window))
	if t.gone = len(t.held) == 0 && t.ticks.Len() == 0 && t.ids.Empty(); t.gone {
		t.shared.forget(t.last)
	}
	return t.gone
}

// seal ends the open tick, which must have a value. The caller holds mu.
func (t *tenant[T]) seal(now int64) {
	at := t.next(now)
	back := at < t.last
	k := t.open
	t.open, t.busy = openTick[T]{}, k.adds > 1
	p := newPending(t, k.value, k.size)
	p.parts = k.parts
	p.fresh = back // the instant may have been used before
	p.name(at)
	t.last = at
	t.ticks.Push(k.value, t.leaves(&k, at, back))
	t.ticksChanged()
	t.hold(p)
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

// move gives a pending value another instant, up to a microsecond later:
// random, so that two writers do not meet again and again. Readers of what is
// held see the new instant together with a new version.
func (t *tenant[T]) move(p *pending[T]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.version = t.shared.changes.Add(1)
	p.name(p.entry.Time + 1 + rand.Int64N(int64(time.Microsecond)))
}

// replace puts halves in the place of a pending value that was split. Questions
// under way go on with the halves.
func (t *tenant[T]) replace(p *pending[T], halves []*pending[T]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.version = t.shared.changes.Add(1)
	is := func(h *pending[T]) bool { return h == p }
	t.held = append(slices.DeleteFunc(t.held, is), halves...)
	for w := range t.watches {
		if slices.Contains(w.sealed, p) {
			w.sealed = append(slices.DeleteFunc(w.sealed, is), halves...)
		}
	}
	for _, h := range halves {
		t.shared.outbox.Put(&t.sender, h)
		t.shared.sealed()
	}
}

// drop forgets a value that is discoverable, or never will be. One that is
// stored is kept in the live window as its blob alone where that saves memory.
func (t *tenant[T]) drop(p *pending[T], stored bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if stored && t.maySleep() {
		p.value.keepEncoded(p.blob)
	}
	t.held = slices.DeleteFunc(t.held, func(h *pending[T]) bool { return h == p })
}

// watch begins a question about a tenant; nil is a tenant that holds nothing.
func (t *tenant[T]) watch() *watch[T] {
	w := &watch[T]{}
	if t == nil {
		return w
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	w.sealed = slices.Clone(t.held)
	t.watches[w] = struct{}{}
	return w
}

// unwatch ends the question. It returns the value of the tick that is open
// then, if [from, to) reaches into that tick, and the tick's instant if it ended
// now.
func (t *tenant[T]) unwatch(w *watch[T], from, to int64) (open []*lazy[T], next int64, err error) {
	if t == nil {
		return nil, 0, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.watches, w)
	if next = t.next(t.shared.now()); t.reaches(next, from, to) {
		open, err = t.shown()
	}
	return open, next, err
}

// reaches reports whether [from, to) reaches into the open tick, which began
// when ticks were sealed last and would end at next.
func (t *tenant[T]) reaches(next, from, to int64) bool {
	return from <= next && (to > next || to > max(t.last, t.shared.lastSealed.Load()))
}

// shown returns the open tick's value as readers may have it, or none. The
// caller holds mu.
func (t *tenant[T]) shown() ([]*lazy[T], error) {
	v, err := t.open.show(t.shared.user)
	if v == nil || err != nil {
		return nil, err
	}
	return []*lazy[T]{v}, nil
}

// holds returns what is held with from ≤ instant < to.
func (t *tenant[T]) holds(from, to int64) (h holding[T], err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h = holding[T]{version: t.version, next: t.next(t.shared.now())}
	for _, p := range t.held {
		if stage, e := p.state(); e.Time >= from && e.Time < to {
			h.sealed, h.entries = append(h.sealed, p), append(h.entries, e)
			h.own = append(h.own, p.fresh || stage >= stored)
		}
	}
	if t.reaches(h.next, from, to) {
		h.open, err = t.shown()
	}
	return h, err
}

// look returns the live window at the instant now.
func (t *tenant[T]) look(now int64) (l live[T], err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(now)
	l = live[T]{edits: t.edits, tickEdits: t.tickEdits, few: t.ticks.Few()}
	if t.answered == t.edits {
		l.answer = []T{t.answer}
		return l, nil
	}
	if l.sealed, l.rest, err = t.ticks.Parts(); err != nil {
		return l, err
	}
	open, err := t.shown()
	l.rest = append(l.rest, open...)
	return l, err
}

// expire drops the ticks that are too old at the instant now. The caller holds
// mu.
func (t *tenant[T]) expire(now int64) {
	if t.ticks.Expire(now) {
		t.ticksChanged()
	}
}

// changed notes that the live window has changed. The caller holds mu.
func (t *tenant[T]) changed() {
	var zero T
	t.edits++
	t.answer = zero
}

// ticksChanged notes that its sealed ticks have changed. The caller holds mu.
func (t *tenant[T]) ticksChanged() {
	t.tickEdits++
	t.changed()
}

// keepSum keeps the merge of the sealed ticks of l for later questions.
func (t *tenant[T]) keepSum(l *live[T], sum *lazy[T]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tickEdits == l.tickEdits {
		t.ticks.Keep(sum)
	}
}

// keepAnswer keeps the value of the live window l for later questions.
func (t *tenant[T]) keepAnswer(l *live[T], v T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.edits == l.edits {
		t.answer, t.answered = v, l.edits
	}
}

// share returns the tenant's part of what the collector has in memory.
func (t *tenant[T]) share() (s Share) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(t.shared.now())
	s.Ticks, s.Values, s.Bytes = t.ticks.Len(), len(t.held), t.open.size
	if t.open.value != nil {
		s.Ticks++
	}
	for _, p := range t.held {
		s.Bytes += p.weight()
	}
	return s
}

// waiting returns the entries of the sealed values, in the order of sealing.
func (t *tenant[T]) waiting() []index.Entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	entries := make([]index.Entry, len(t.held))
	for i, p := range t.held {
		_, entries[i] = p.state()
	}
	return entries
}
