package bucket

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/record"
)

// move gives a pending value another instant, up to a microsecond later:
// random, so that two writers do not meet again and again. Readers of what is
// held see the new instant together with a new version.
func (t *tenant[T]) move(p *pending[T]) error {
	return t.moveTo(p, p.entry.Time+1+rand.Int64N(int64(time.Microsecond)))
}

// moveTo gives a pending value the instant at. A value that was withdrawn stays where
// deletions look for it: the error is errWithdrawn.
func (t *tenant[T]) moveTo(p *pending[T], at int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.withdrawn.Load() {
		return errWithdrawn
	}
	t.version = t.shared.changes.Add(1)
	p.name(at)
	p.value.at = at
	return nil
}

// renew gives a pending value another key at its instant.
func (t *tenant[T]) renew(p *pending[T]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.version = t.shared.changes.Add(1)
	p.renew()
}

// adopt takes over a value that the journal kept. It has its instant already.
func (t *tenant[T]) adopt(v *record.Value) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := newPending(t, restingOn[T](v.Members), 0)
	p.records, p.fresh = v.Members, true
	p.name(v.Time)
	p.value.at = v.Time
	if v.Key != "" {
		p.resume(v, t.shared.opts.lateOfEarlier())
	}
	t.last = max(t.last, v.Time)
	t.hold(p)
	t.showPast(p.value, v.Time, t.shared.now())
}

// remember notes an id that came before a restart.
func (t *tenant[T]) remember(s *record.Seen) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ids.Add(s.ID, min(s.Time, t.shared.steady()))
}

// restHeld leaves to the journal what has left the live window and is still not
// discoverable, and keeps the blob alone of a value that is committed. A question that
// began before reads the value from the journal. The caller holds mu.
func (t *tenant[T]) restHeld(now int64) {
	if t.shared.opts.Journal == nil {
		return
	}
	for _, p := range t.held {
		if freed := p.rest(now - int64(t.shared.opts.Window)); freed != 0 {
			t.shared.budget.add(&t.account, -freed)
		}
	}
}

// replace puts halves in the place of a pending value that was split. Questions
// under way go on with the halves. It returns false for a value that was
// withdrawn, which then has none.
func (t *tenant[T]) replace(p *pending[T], halves []*pending[T]) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.withdrawn.Load() {
		return false
	}
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
	return true
}

// drop forgets a value that is discoverable. It is kept in the live window as its blob
// alone where that saves memory. drop reports whether a question may still read the value.
func (t *tenant[T]) drop(p *pending[T]) (isRead bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.blob != nil && (t.maySleep() || p.value.isResting()) {
		p.value.keepEncoded(p.blob)
	}
	t.leave(p)
	return t.readers.Load() > 0
}

// giveUp forgets a value that can never be stored. The value is over then, so that a deletion
// does not wait for Failed and ends the value's records. giveUp returns false for a value that
// was withdrawn: Failed is not told of it.
func (t *tenant[T]) giveUp(p *pending[T]) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.withdrawn.Load() {
		return false
	}
	if p.blob != nil && p.value.isResting() {
		p.value.keepEncoded(p.blob)
	}
	t.leave(p)
	p.over.Store(true)
	return true
}

// leave takes a value out of what is held. The caller holds mu.
func (t *tenant[T]) leave(p *pending[T]) {
	t.held = slices.DeleteFunc(t.held, func(h *pending[T]) bool { return h == p })
	t.leaving.add(p)
}

// holding returns the sealed values that are held.
func (t *tenant[T]) holding(ctx context.Context) ([]*pending[T], error) {
	if err := t.mu.LockContext(ctx); err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	return slices.Clone(t.held), nil
}

// noteCommitted leaves a value that is committed with its blob alone, where that saves
// memory. It returns how many bytes are not pending any more.
func (t *tenant[T]) noteCommitted(p *pending[T]) (freed int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.maySleep() || p.value.isResting() {
		p.value.keepEncoded(p.blob)
	}
	return p.noteCommitted()
}

// withdraw ends the open tick, and takes the values whose instants are in
// [from, to) out of the live window and out of what is held. It returns these, and
// the range's leaving values: an attempt at them may be under way.
func (t *tenant[T]) withdraw(ctx context.Context, from, to int64) (values []*pending[T], err error) {
	if err := t.mu.LockContext(ctx); err != nil {
		return nil, err
	}
	defer t.mu.Unlock()
	in := func(p *pending[T]) bool {
		_, e := p.state()
		return e.Time >= from && e.Time < to
	}
	if t.open.value != nil {
		t.seal(t.shared.now())
	}
	t.held = slices.DeleteFunc(t.held, func(p *pending[T]) bool {
		if !in(p) {
			return false
		}
		t.leaving.add(p) // before an attempt sees that it was withdrawn, and ends it
		p.withdrawn.Store(true)
		return true
	})
	values = t.leaving.all(in)
	t.version = t.shared.changes.Add(1)
	removed, whole := t.ticks.Remove(to, func(l *lazy[T]) bool { return l.at >= from && l.at < to })
	t.emptied.Store(len(t.held) == 0 && t.ticks.Len() == 0)
	if whole {
		t.restarted.Store(t.last + 1)
	}
	if removed {
		t.ticksChanged()
	}
	return values, nil
}
