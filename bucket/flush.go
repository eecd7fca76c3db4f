package bucket

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket/internal/outbox"
	"github.com/timeblob/timeblob/bucket/internal/unsynced"
	"github.com/timeblob/timeblob/index"
)

// maxMoves is how many taken instants one attempt passes before it waits.
const maxMoves = 64

// try makes one attempt to deliver a value, after so many that failed.
func (c *Collector[T]) try(ctx context.Context, p *pending[T], failed int) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	switch {
	case p.finished():
		return nil
	case p.withdrawn.Load():
		return c.abandon(ctx, p)
	case p.synced.Load():
		c.finish(p)
		return nil
	}
	epoch := c.unsynced.Epoch()
	err := c.traceFlush(ctx, p, failed+1)
	if err == nil {
		err = c.settle(ctx, p, epoch)
	}
	switch {
	case err != nil && p.withdrawn.Load():
		return c.abandon(ctx, p)
	case err == nil:
		if failed > 0 {
			c.opts.Logger.Info("flushed at last", "tenant", p.owner.id, "key", p.entry.Key, "attempt", failed+1)
		}
		return nil
	case permanent(err):
		if err = c.giveUp(ctx, p, err); err == nil {
			return nil
		}
	}
	_, waits := errors.AsType[*outbox.WaitError](err)
	if waits && !p.waits() {
		c.opts.Logger.Warn("a value waits, so that it is not stored twice", "err", err)
	}
	p.note(err, ctx.Err() == nil)
	if ctx.Err() == nil && !waits { // else it was not the store that ended the attempt
		c.metrics.retries.Inc()
		c.opts.Logger.Warn("flush failed, will be tried again", "attempt", failed+1, "err", err)
	}
	return err
}

// settle finishes a value that is in the index, or keeps it until the next sync.
func (c *Collector[T]) settle(ctx context.Context, p *pending[T], begun unsynced.Epoch) error {
	switch {
	case c.opts.Sync == nil:
	case p.blob != nil:
		return c.keepUntilSynced(p, begun)
	default: // the entry of an earlier attempt: if a sync failed, the index is asked again
		err := c.syncNow(ctx)
		if err == nil && c.unsynced.Epoch() != begun {
			err = errUnsynced
		}
		if err != nil {
			p.reach(sealed)
			return err
		}
	}
	c.finish(p)
	return nil
}

// finish forgets a value that has become discoverable: a reader that no longer
// finds it here finds it in the index.
func (c *Collector[T]) finish(p *pending[T]) {
	if err := c.user.stored(p.owner.id, p.entry, int(p.entry.Size)); err != nil {
		c.opts.Logger.Error("the callback for stored values failed", "tenant", p.owner.id, "err", err)
	}
	if c.buildsAll {
		c.past.asked(p.owner.id)
	}
	if p.owner.drop(p) {
		c.keepForReaders(p)
	}
	c.endRecords(p, p.before().seals)
	c.release(p)
}

// release takes a value off the books.
func (c *Collector[T]) release(p *pending[T]) {
	c.budget.add(&p.owner.account, -p.size)
	if !p.committed.Load() {
		c.metrics.values.Dec()
	}
	p.over.Store(true)
}

// giveUp ends the attempts at a value that can never be stored. A value that was
// merged of several is stored in halves if these are still there: it is too large
// for one blob, or one of them spoils the others' encoding. If none of them may be
// stored any more, they are given up together. If the journal cannot be read, it
// returns the error, and the value is tried again.
func (c *Collector[T]) giveUp(ctx context.Context, p *pending[T], cause error) error {
	_, final := errors.AsType[*FinalError](cause)
	if !final && max(len(p.parts), len(p.records)) > 1 {
		halves, err := c.split(p)
		if err != nil {
			return err
		}
		return c.storeHalves(ctx, p, halves, cause)
	}
	return c.dropFailed(ctx, p, cause)
}

// dropFailed forgets a value that can never be stored, and tells it to Failed. A record
// that is lost is not done: the journal keeps its damaged file.
func (c *Collector[T]) dropFailed(ctx context.Context, p *pending[T], cause error) error {
	members, lost := p.members(), isLost(cause)
	c.opts.Logger.Error("values can never be stored and are dropped", "tenant", p.owner.id, "values", len(members), "err", cause)
	if err := c.lazies.wake(p.value); err != nil && !lost {
		c.opts.Logger.Error("a value that is dropped cannot be read", "tenant", p.owner.id, "err", err)
	}
	values, errs := make([]T, len(members)), make([]error, len(members))
	for i, l := range members { // now: a deletion may end their records while Failed runs
		if values[i], errs[i] = c.lazies.value(l); lost {
			errs[i] = nil // Failed is told
		}
	}
	if !p.owner.giveUp(p) {
		return c.abandon(ctx, p)
	}
	c.release(p)
	for i, v := range values {
		c.metrics.failed.Inc()
		if err := errors.Join(errs[i], c.user.failed(p.owner.id, v, cause)); err != nil {
			c.opts.Logger.Error("the callback for failed values failed", "tenant", p.owner.id, "err", err)
		}
	}
	if !lost {
		return c.endUnstored(context.WithoutCancel(ctx), p)
	}
	if seals := p.before().seals; len(seals) > 0 {
		c.opts.Journal.End(seals...)
	}
	p.owner.leaving.remove(p)
	return nil
}

// storeHalves has two values stored in the place of the one that they were split from.
func (c *Collector[T]) storeHalves(ctx context.Context, p *pending[T], halves []*pending[T], cause error) error {
	c.opts.Logger.Info("the value of a tick cannot be stored in one blob and is stored in parts",
		"tenant", p.owner.id, "err", cause)
	if !p.owner.replace(p, halves) { // it was deleted meanwhile
		c.budget.add(&p.owner.account, -halves[0].size-halves[1].size)
		return c.abandon(ctx, p)
	}
	p.left().halves = halves
	c.release(p)
	return nil
}

// split returns two values whose merge is p's.
func (c *Collector[T]) split(p *pending[T]) (halves []*pending[T], err error) {
	if len(p.records) > 0 {
		return c.splitRecords(p)
	}
	size, n := p.size-int64(len(p.blob)), len(p.parts)
	for i, parts := range [][]*lazy[T]{p.parts[:n/2], p.parts[n/2:]} {
		v := parts[0]
		if len(parts) > 1 {
			v = unmerged(parts) // if it cannot be merged, it is split again
		}
		half := newPending(p.owner, v, size*int64(len(parts))/int64(n))
		half.parts, half.fresh = parts, p.fresh
		half.name(p.entry.Time + int64(i*(n/2))) // an instant for each part, so that later splits do not collide
		halves = append(halves, half)
	}
	for _, half := range halves {
		c.budget.add(&p.owner.account, half.size)
	}
	return halves, nil
}

// deliver takes a value through the stages that it has not reached yet.
func (c *Collector[T]) deliver(ctx context.Context, p *pending[T]) error {
	if err := c.encode(p); err != nil {
		return c.unlessIndexed(ctx, p, err)
	}
	if found, err := c.findIndexed(ctx, p); found || err != nil {
		return err
	}
	for range maxMoves {
		if err := c.note(ctx, p); err != nil {
			return err
		}
		taken, err := c.place(ctx, p)
		if _, final := errors.AsType[*FinalError](err); final {
			return c.tooLate(ctx, p, err)
		}
		if err != nil || !taken {
			return c.unlessIndexed(ctx, p, err)
		}
		if err := p.owner.move(p); err != nil {
			return err
		}
		if err := c.encode(p); err != nil { // again when it rests in the journal
			return err
		}
	}
	return fmt.Errorf("tenant %q: %d instants up to %d are taken", p.owner.id, maxMoves, p.entry.Time)
}

// unlessIndexed returns the error of an attempt. It returns nil for a value that can never be
// stored if an attempt that seemed to fail, or an earlier process, has put the value into the
// index, and another error while such an attempt may still take effect.
func (c *Collector[T]) unlessIndexed(ctx context.Context, p *pending[T], cause error) error {
	if !p.unsure() || !permanent(cause) {
		return cause
	}
	absent, err := c.absent(ctx, p)
	wait, waits := errors.AsType[*outbox.WaitError](err)
	switch {
	case waits && time.Now().Before(p.late): // nothing else can become of it before
		return &outbox.WaitError{For: time.Until(p.late), Cause: fmt.Errorf("%w; it cannot be stored any more: %v", wait.Cause, cause)}
	case err != nil:
		return err
	case absent:
		return cause
	}
	return nil
}

// tooLate ends the delivery of a value whose span became final. It returns nil if an
// attempt that seemed to fail has put the value's entry there before. Otherwise it deletes
// the blob that was stored for the value, and returns the final error.
func (c *Collector[T]) tooLate(ctx context.Context, p *pending[T], final error) error {
	has, err := c.holder(ctx, p)
	if err != nil || has == self {
		return err
	}
	deleter, ok := c.blobs.(BlobDeleter)
	if !ok || p.stage < stored {
		return final
	}
	err = c.attempt(ctx, "Delete", p, func(ctx context.Context) error { return deleter.Delete(ctx, []string{p.entry.Key}) })
	if err != nil {
		c.opts.Logger.Warn("a blob without an entry is left: a deletion of its hour removes it", "err", err)
	}
	return final
}

// encode makes the blob, unless the value has one.
func (c *Collector[T]) encode(p *pending[T]) error {
	if p.stage >= encoded {
		return nil
	}
	bytes, more, err := c.lazies.blobOf(p.value)
	if _, unread := errors.AsType[*JournalError](err); unread {
		return err
	}
	if err != nil {
		return &EncodeError{Tenant: p.owner.id, Time: time.Unix(0, p.entry.Time), Err: err}
	}
	if size := int64(len(bytes)); size > c.opts.MaxBlob {
		return &TooLargeError{Tenant: p.owner.id, Size: size, Limit: c.opts.MaxBlob}
	}
	c.budget.add(&p.owner.account, more)
	p.encode(bytes, more)
	return nil
}

// place stores and indexes a blob under the value's present instant, or reports
// that the value must take another one.
func (c *Collector[T]) place(ctx context.Context, p *pending[T]) (taken bool, err error) {
	switch {
	case p.before().taken: // a put that fails would have to be waited for, too
		return c.absent(ctx, p)
	case c.opts.Committer != nil:
		return c.commit(ctx, p)
	}
	if taken, err = c.store(ctx, p); taken || err != nil {
		return taken, err
	}
	return c.index(ctx, p)
}

// commit stores and indexes in one step. That an instant is taken may mean that
// an earlier attempt, which seemed to fail, has landed.
func (c *Collector[T]) commit(ctx context.Context, p *pending[T]) (taken bool, err error) {
	again := p.unsure()
	err = c.land(ctx, "Commit", p, func(ctx context.Context) error {
		return c.writer.Commit(ctx, c.opts.Committer, p.row(), p.entry, p.blob)
	})
	if errors.Is(err, index.ErrExists) {
		if !again {
			return true, nil
		}
		return c.absent(ctx, p)
	}
	if err == nil {
		p.reach(indexed)
	}
	return false, err
}

// store puts the blob under its key. A key that is taken is given up even when
// an attempt of this value that seemed to fail may have taken it: the blob left
// there is in no index and does no harm, while sharing a key with another
// writer would lose a value. A fresh key can only be this value's own, and a driver
// may know that the blob is.
func (c *Collector[T]) store(ctx context.Context, p *pending[T]) (taken bool, err error) {
	if p.stage >= stored {
		return false, nil
	}
	p.beginPut()
	err = c.attempt(ctx, "Put", p, func(ctx context.Context) error {
		return c.blobs.Put(ctx, p.entry.Key, p.blob)
	})
	before := errors.Is(err, index.ErrExists)
	switch {
	case before && !p.fresh && !isOwn(err):
		return true, nil
	case before || err == nil:
		p.reach(stored)
		return false, nil
	}
	return false, err
}

// index makes a stored blob discoverable.
func (c *Collector[T]) index(ctx context.Context, p *pending[T]) (taken bool, err error) {
	err = c.land(ctx, "Index", p, func(ctx context.Context) error {
		return c.writer.Put(ctx, p.row(), p.entry)
	})
	if errors.Is(err, index.ErrExists) {
		return c.absent(ctx, p)
	}
	if err == nil {
		err = c.indexed(ctx, p, p.entry)
	}
	return false, err
}

// indexed notes that a value is discoverable by its entry e. A blob that may have been
// deleted before its entry was there is stored again.
func (c *Collector[T]) indexed(ctx context.Context, p *pending[T], e index.Entry) error {
	if c.opts.Committer == nil && p.doubts(e) {
		if err := c.storeAgain(ctx, p, e); err != nil && !errors.Is(err, index.ErrExists) {
			return err
		}
	}
	p.reachIndex(e)
	return nil
}

// storeAgain puts the blob of a value that has the entry e. A value that rests has no
// blob: its values are merged and encoded again, which not every codec does to the same
// bytes.
func (c *Collector[T]) storeAgain(ctx context.Context, p *pending[T], e index.Entry) (err error) {
	bytes := p.blob
	if bytes == nil {
		bytes, _, err = c.lazies.blobOf(p.value)
	}
	if _, unread := errors.AsType[*JournalError](err); unread && !isLost(err) {
		return err
	}
	sum := e.Sum
	if noted := p.before().noted; !sum.Known() && noted.Key == e.Key {
		sum = noted.Sum
	} else if !sum.Known() && p.entry.Key == e.Key {
		sum = p.entry.Sum
	}
	switch {
	case err != nil:
	case blob.SumOf(bytes) != sum:
		err = errors.New("it has come out differently")
	default:
		err = c.attempt(ctx, "Put", p, func(ctx context.Context) error { return c.blobs.Put(ctx, e.Key, bytes) })
		if !tooLarge(err) {
			return err
		}
	}
	c.opts.Logger.Warn("a blob waited long for its entry and cannot be stored again: if a deletion took it, questions about it fail until its range is deleted",
		"tenant", p.owner.id, "key", e.Key, "err", err)
	return nil
}

// land makes an attempt to put the value into the index, and notes until when it may take
// effect if its answer does not tell.
func (c *Collector[T]) land(ctx context.Context, step string, p *pending[T], f func(context.Context) error) error {
	before, now := p.late, time.Now()
	p.late = now.Add(c.opts.Deadline + c.opts.linger())
	err := c.attempt(ctx, step, p, f)
	_, final := errors.AsType[*FinalError](err)
	definite := err == nil || errors.Is(err, index.ErrExists) || final || tooLarge(err)
	switch p.late = before; {
	case !definite:
		p.late = time.Now().Add(c.opts.linger())
		if commit, ok := errors.AsType[underway](err); ok {
			p.left().underway = commit.Underway
		}
	case err == nil && before.IsZero(): // a sync that fails may take the entry away, or not
		p.late = now
	}
	return err
}

// absent reports whether the value is not in the index, and will not be: it may get another
// instant or be given up. It returns an error while an attempt that seemed to fail may still take
// effect. Another writer's entry there, or none, proves nothing until then: a deletion or a failed
// sync may have taken, or may take, an entry away, and the value would be stored twice.
func (c *Collector[T]) absent(ctx context.Context, p *pending[T]) (bool, error) {
	mayLand := p.mayLand() // the index is asked after the last of these attempts
	has, err := c.holder(ctx, p)
	switch {
	case err != nil || has == self:
		return false, err
	case mayLand && c.opts.Journal == nil && c.closing():
		c.opts.Logger.Warn("the collector ends and cannot wait for an earlier attempt, which may still take effect: a value may be stored twice",
			"tenant", p.owner.id, "key", p.entry.Key)
	case mayLand:
		p.doubtBlob()
		p.left().taken = has == another
		wait := &outbox.WaitError{For: c.opts.MaxBackoff, // the instant may become free
			Cause: fmt.Errorf("tenant %q, key %s: an earlier attempt may still take effect", p.owner.id, p.entry.Key)}
		if left := time.Until(p.late); left > 0 {
			wait.For = min(wait.For, left)
		}
		return false, wait
	}
	return true, nil
}

// holder is who has an instant in the index.
type holder uint8

const (
	nobody holder = iota
	self          // the value that asks
	another
)

// holder returns who has the value's instant. An entry with one of the value's keys is its
// own, since it alone stored or committed them.
func (c *Collector[T]) holder(ctx context.Context, p *pending[T]) (has holder, err error) {
	var there []index.Entry
	err = c.attempt(ctx, "Query", p, func(ctx context.Context) error {
		there, err = c.writer.index.Query(ctx, p.row(), p.entry.Time, p.entry.Time+1)
		return err
	})
	if err != nil || len(there) == 0 {
		return nobody, err
	}
	if i := slices.IndexFunc(there, p.isOwn); i >= 0 {
		return self, c.indexed(ctx, p, there[i])
	}
	return another, nil
}

// attempt runs one step of a flush under its deadline and measures it.
func (c *Collector[T]) attempt(ctx context.Context, step string, p *pending[T], f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Deadline)
	defer cancel()
	begun := time.Now()
	err := traceStep(ctx, step, f)
	c.metrics.observe(step, err, time.Since(begun))
	switch {
	case err == nil || errors.Is(err, index.ErrExists):
		return err
	case tooLarge(err):
		return &TooLargeError{Tenant: p.owner.id, Size: int64(len(p.blob)), Err: err}
	}
	return fmt.Errorf("%s the value of tenant %q, key %s: %w", step, p.owner.id, p.entry.Key, err)
}
