package bucket

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	"github.com/timeblob/timeblob/bucket/internal/once"
	"github.com/timeblob/timeblob/bucket/internal/outbox"
	"github.com/timeblob/timeblob/bucket/internal/window"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/gate"
)

// tenant is what a collector has of one tenant in memory. Its mutex is locked
// in this file and in sealed.go only. While it is held no blob is encoded or decoded for a
// caller, and no store is asked; the one merge of an Add, and the merges of a
// window of many ticks, happen under it. A merge that never returns thus stops its
// tenant; what is asked about the tenant ends with its context.
type tenant[T any] struct {
	id      string
	shared  *shared[T]
	account account
	sender  outbox.Sender[*pending[T]]
	// finishing sends values that were synced. A Stored that hangs slows down these, and not
	// the values of sender.
	finishing outbox.Sender[*pending[T]]
	asking    chan struct{} // full while a question merges the live window

	leaving leaving[T]

	mu      gate.Latch // guards what follows
	open    openTick[T]
	ticks   *window.Ticks[*lazy[T]]
	busy    bool   // several values were added to the last tick
	last    int64  // the last instant given, Unix nanoseconds
	version uint64 // differs after each change of what is held
	held    []*pending[T]
	watches map[*watch[T]]struct{}
	ids     once.IDs
	gone    bool // forgotten by the collector: look the tenant up again

	readers  atomic.Int64            // questions that may still read what was held when they began
	unproved atomic.Pointer[lazy[T]] // what was to be proven when its Add's context ended

	// restarted is when the live window was last emptied by a deletion: what came
	// before is in the store alone. Unix nanoseconds; written with mu held.
	restarted atomic.Int64
	emptied   atomic.Bool // a deletion has left nothing in memory; written with mu held

	edits     uint64 // changes of the live window
	tickEdits uint64 // changes of its sealed ticks
	answer    T      // the live window's value, while answered equals edits
	answered  uint64
}

// add takes a value into the open tick, or says what it needs for that. whole is
// the tick's value when add needs it.
func (t *tenant[T]) add(ctx context.Context, in *input[T]) (need need, whole *lazy[T], err error) {
	if err := t.mu.LockContext(ctx); err != nil {
		return needNothing, nil, err
	}
	defer t.mu.Unlock()
	now := t.shared.now()
	switch {
	case t.gone:
		return needTenant, nil, nil
	case in.hasID && t.seen(in.id):
		in.repeated = true
		return needNothing, nil, nil
	case t.shared.opts.Journal != nil && in.record == 0 && in.good():
		return needRecord, nil, nil
	case in.past:
		need, err = t.addPast(in, now)
	default:
		need, whole, err = t.addNow(in, now)
	}
	if need != needNothing || err != nil {
		return need, whole, err
	}
	t.took(in)
	if whole = t.unproven(); whole != nil {
		return needProof, whole, nil
	}
	return needNothing, nil, nil
}

// prove notes that a value which unproven returned can be encoded, and has the open
// tick keep a form of it in place of its parts. If the context ends before, a later Add
// proves the tick's value.
func (t *tenant[T]) prove(ctx context.Context, whole, form *lazy[T]) {
	if t.mu.LockContext(ctx) != nil {
		t.unproved.Store(whole)
		return
	}
	defer t.mu.Unlock()
	if t.open.proving == whole {
		t.open.forget(form)
	}
}

// sealSpoilt ends the open tick if its value cannot be read or encoded. The tick is then
// stored in parts, so that a value which spoils the others is found. The error is the
// context's.
func (t *tenant[T]) sealSpoilt(ctx context.Context, whole *lazy[T]) error {
	if err := t.mu.LockContext(ctx); err != nil {
		return err
	}
	defer t.mu.Unlock()
	if t.open.value != nil && (t.open.value == whole || t.open.proving == whole) {
		t.seal(t.shared.now())
	}
	return nil
}

// took notes that a value is in. The caller holds mu.
func (t *tenant[T]) took(in *input[T]) {
	in.taken = true
	t.emptied.Store(false)
	if in.hasID {
		t.ids.Add(in.id, t.shared.steady())
	}
	if in.record != 0 && !in.past {
		t.open.records = append(t.open.records, in.record)
		t.open.earliest = min(t.open.earliest, in.recorded)
	}
}

// seen reports whether an id was added within the window. The caller holds mu.
func (t *tenant[T]) seen(id once.ID) bool {
	t.expireIDs()
	return t.ids.Has(id)
}

// expireIDs forgets the ids of more than a window ago. The caller holds mu.
func (t *tenant[T]) expireIDs() { t.ids.Expire(t.shared.steady() - int64(t.shared.opts.Window)) }

// hold adds a sealed value to what is held and hands it to the outbox. The
// caller holds mu.
func (t *tenant[T]) hold(p *pending[T]) {
	t.version = t.shared.changes.Add(1)
	t.held = append(t.held, p)
	for w := range t.watches {
		if w.ended.Load() {
			delete(t.watches, w)
		}
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
	t.restHeld(now)
	if t.open.value != nil {
		t.seal(now)
		return false
	}
	if t.ticks.Rewind(t.next(now)) {
		t.ticksChanged()
	}
	t.expire(now)
	t.expireIDs()
	idleFor := now - t.restarted.Load()
	if t.gone = len(t.held) == 0 && t.leaving.empty() && t.ticks.Len() == 0 && t.ids.Empty() && idleFor >= int64(t.shared.opts.Window); t.gone {
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
	p.parts, p.records = k.parts, k.records
	// The instant may have been used before, or the key must be nobody else's.
	p.fresh = back || len(k.records) > 0 || t.shared.opts.Committer != nil
	p.name(at)
	k.value.at, t.last = at, at
	t.ticks.Push(k.value, t.leaves(&k, at, back))
	t.ticksChanged()
	t.hold(p)
}

// watch begins a question about a tenant; nil is a tenant that holds nothing.
func (t *tenant[T]) watch(ctx context.Context) (*watch[T], error) {
	w := &watch[T]{}
	if t == nil {
		return w, nil
	}
	if err := t.mu.LockContext(ctx); err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	w.sealed = slices.Clone(t.held)
	w.begun = inMemoryOf(w.sealed)
	t.watches[w] = struct{}{}
	return w, nil
}

// unwatch ends the question. It returns the value of the tick that is open
// then, if [from, to) reaches into that tick, and the tick's instant if it ended
// now.
func (t *tenant[T]) unwatch(ctx context.Context, w *watch[T], from, to int64) (open []*lazy[T], next int64, err error) {
	if t == nil {
		return nil, 0, nil
	}
	if err := t.mu.LockContext(ctx); err != nil {
		w.ended.Store(true)
		return nil, 0, err
	}
	defer t.mu.Unlock()
	delete(t.watches, w)
	if next = t.next(t.shared.now()); t.reaches(next, from, to) {
		open = t.shown()
	}
	return open, next, nil
}

// holds returns what is held with from ≤ instant < to.
func (t *tenant[T]) holds(ctx context.Context, from, to int64) (h holding[T], err error) {
	if err := t.mu.LockContext(ctx); err != nil {
		return h, err
	}
	defer t.mu.Unlock()
	h = holding[T]{version: t.version, next: t.next(t.shared.now())}
	for _, p := range t.held {
		if stage, e := p.state(); e.Time >= from && e.Time < to {
			h.sealed, h.entries = append(h.sealed, p), append(h.entries, e)
			h.own = append(h.own, p.fresh || stage >= stored)
			h.untried = append(h.untried, stage < stored && t.shared.opts.Committer == nil)
		}
	}
	if t.reaches(h.next, from, to) {
		h.open, h.first = t.shown(), t.open.earliest
	}
	return h, nil
}

// look returns the live window at the instant now.
func (t *tenant[T]) look(ctx context.Context, now int64) (l live[T], err error) {
	if err := t.mu.LockContext(ctx); err != nil {
		return l, err
	}
	defer t.mu.Unlock()
	t.expire(now)
	l = live[T]{edits: t.edits, tickEdits: t.tickEdits, few: t.ticks.Few()}
	if t.answered == t.edits {
		l.answer = []T{t.answer}
		return l, nil
	}
	if l.sealed, l.rest, err = t.ticks.Parts(); err != nil {
		return l, &windowError{t.id, err}
	}
	l.rest = append(l.rest, t.shown()...)
	return l, nil
}

// entriesOf returns the entries, without keys, that values of the live window have, or
// will have once they are stored.
func (t *tenant[T]) entriesOf(ctx context.Context, values []*lazy[T]) ([]index.Entry, error) {
	if err := t.mu.LockContext(ctx); err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	next, entries := t.next(t.shared.now()), make([]index.Entry, len(values))
	for i, l := range values {
		entries[i].Time = cmp.Or(l.at, next) // an open tick has no instant yet
	}
	return entries, nil
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
func (t *tenant[T]) keepSum(ctx context.Context, l *live[T], sum *lazy[T]) {
	if t.mu.LockContext(ctx) != nil {
		return
	}
	defer t.mu.Unlock()
	if t.tickEdits == l.tickEdits {
		t.ticks.Keep(sum)
	}
}

// keepAnswer keeps the value of the live window l for later questions.
func (t *tenant[T]) keepAnswer(ctx context.Context, l *live[T], v T) {
	if t.mu.LockContext(ctx) != nil {
		return
	}
	defer t.mu.Unlock()
	if t.edits == l.edits {
		t.answer, t.answered = v, l.edits
	}
}

// share returns the tenant's part of what the collector has in memory.
func (t *tenant[T]) share(ctx context.Context) (s Share, err error) {
	if err := t.mu.LockContext(ctx); err != nil {
		return s, err
	}
	defer t.mu.Unlock()
	t.expire(t.shared.now())
	s.Ticks, s.Values, s.Bytes = t.ticks.Len(), len(t.held), t.open.size
	if t.open.value != nil {
		s.Ticks++
	}
	for _, p := range t.held {
		if s.Bytes += p.weight(); p.committed.Load() {
			s.Values--
		}
	}
	return s, nil
}

// waiting returns the entries of the sealed values, in the order of sealing.
func (t *tenant[T]) waiting(ctx context.Context) ([]index.Entry, error) {
	if err := t.mu.LockContext(ctx); err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	entries := make([]index.Entry, 0, len(t.held))
	for _, p := range t.held {
		if _, e := p.state(); !p.committed.Load() {
			entries = append(entries, e)
		}
	}
	return entries, nil
}
