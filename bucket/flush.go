package bucket

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	blobs "github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
)

// maxMoves is how many taken instants one attempt passes before it waits.
const maxMoves = 64

// work tries the pending values as they become due, some at a time, until
// enough says so or ctx ends, and waits for those it has begun. A value that
// fails or hangs holds up none but those of tenants that were slow to fail.
func (c *Collector[T]) work(ctx context.Context, enough func() bool) {
	var g errgroup.Group
	for l := range lanes {
		g.Go(func() error { c.workLane(ctx, l, enough); return nil })
	}
	_ = g.Wait()
}

func (c *Collector[T]) workLane(ctx context.Context, from lane, enough func() bool) {
	var g errgroup.Group
	g.SetLimit(c.opts.Flushes)
	defer func() { _ = g.Wait() }()
	for ctx.Err() == nil && !enough() {
		p, wait, changed := c.outbox.take(from, time.Now())
		switch {
		case p != nil:
			g.Go(func() error { c.try(ctx, p); return nil })
		case !enough(): // asked once more, since what made it so may have come before changed
			pause(ctx, wait, changed)
		}
	}
}

// pause waits for wait, unless it is negative, for changed, or for ctx to end.
func pause(ctx context.Context, wait time.Duration, changed <-chan struct{}) {
	var due <-chan time.Time
	if wait >= 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
	case <-changed:
	case <-ctx.Done():
	}
}

// try makes one attempt to deliver a value that was taken from the outbox.
func (c *Collector[T]) try(ctx context.Context, p *pending[T]) {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	begun := time.Now()
	err := c.traceFlush(ctx, p)
	if err == nil {
		c.finish(p)
		return
	}
	p.note(err, ctx.Err() == nil)
	if ctx.Err() == nil { // else it was not the store that ended the attempt
		c.failed(p, err, time.Since(begun))
	}
	c.outbox.put(p)
}

// failed counts an attempt that the store made fail, and says when to try
// again. One that failed at once held up nobody, and its tenant is as good as
// any.
func (c *Collector[T]) failed(p *pending[T], err error, took time.Duration) {
	c.metrics.retries.Inc()
	c.opts.Logger.Warn("flush failed, will be tried again", "attempt", p.tries+1, "err", err)
	p.due = time.Now().Add(c.backoff(p.tries))
	p.tries++
	p.owner.failing.Store(took >= c.opts.Deadline/4)
}

// backoff returns how long to wait after the given number of earlier failures.
func (c *Collector[T]) backoff(tries int) time.Duration {
	wait := c.opts.MaxBackoff
	if tries < 32 {
		if d := c.opts.Backoff << tries; d > 0 {
			wait = min(d, wait)
		}
	}
	return wait/2 + rand.N(wait/2+1)
}

// finish forgets a value that has become discoverable: whoever does not find
// it here any more finds it in the index.
func (c *Collector[T]) finish(p *pending[T]) {
	if p.tries > 0 {
		c.opts.Logger.Info("flushed at last", "tenant", p.owner.id, "key", p.entry.Key, "attempt", p.tries+1)
	}
	c.opts.Stored(p.owner.id, p.entry, len(p.blob))
	p.owner.failing.Store(false)
	if c.mayRest(p.owner) {
		p.value.settle(p.blob)
	}
	p.owner.drop(p)
	c.count(p.owner, -p.size)
	c.metrics.values.Dec()
	close(p.done)
	c.outbox.remove(p)
}

// deliver takes a value through the stages that it has not reached yet.
func (c *Collector[T]) deliver(ctx context.Context, p *pending[T]) error {
	if err := c.encode(p); err != nil {
		return err
	}
	for range maxMoves {
		taken, err := c.place(ctx, p)
		if err != nil || !taken {
			return err
		}
		p.move()
	}
	return fmt.Errorf("tenant %q: %d instants up to %d are taken", p.owner.id, maxMoves, p.entry.Time)
}

// encode makes the blob, once.
func (c *Collector[T]) encode(p *pending[T]) error {
	if p.stage >= encoded {
		return nil
	}
	blob, more, err := c.blobOf(p.value)
	if err != nil {
		return fmt.Errorf("encode the value of tenant %q, instant %d: %w", p.owner.id, p.entry.Time, err)
	}
	sum := blobs.SumOf(blob)
	p.mu.Lock()
	p.blob, p.stage = blob, encoded
	p.entry.Size, p.entry.Sum = int64(len(blob)), sum
	p.size += more
	p.mu.Unlock()
	c.count(p.owner, more)
	return nil
}

// blobOf returns the blob of a parcel, and how many bytes it takes that the
// parcel did not take before.
func (c *Collector[T]) blobOf(p *parcel[T]) (blob []byte, more int64, err error) {
	if blob := p.blob(); blob != nil {
		return blob, 0, nil
	}
	v, err := c.packing.value(p)
	if err != nil {
		return nil, 0, err
	}
	blob, err = c.blobs.Encode(v)
	return blob, int64(len(blob)), err
}

// place stores and indexes a blob under the value's present instant, or
// reports that another writer has taken it.
func (c *Collector[T]) place(ctx context.Context, p *pending[T]) (taken bool, err error) {
	if c.opts.Committer != nil {
		return c.commit(ctx, p)
	}
	if taken, err = c.store(ctx, p); taken || err != nil {
		return taken, err
	}
	return c.index(ctx, p)
}

// commit stores and indexes in one step. That an instant is taken may mean
// that an earlier attempt, which seemed to fail, has landed.
func (c *Collector[T]) commit(ctx context.Context, p *pending[T]) (taken bool, err error) {
	again := p.unsure
	p.unsure = true
	err = c.attempt(ctx, "Commit", p, func(ctx context.Context) error {
		return c.opts.Committer.Commit(ctx, p.row, p.entry, p.blob)
	})
	if errors.Is(err, index.ErrExists) {
		if !again {
			return true, nil
		}
		return c.takenByOther(ctx, p)
	}
	if err == nil {
		p.reach(indexed)
	}
	return false, err
}

// store puts the blob under its key. A key that is taken is given up even
// when it may be this value's own, from an attempt that seemed to fail: the
// blob left there is in no index and does no harm, while to share a key with
// another writer would lose a value.
func (c *Collector[T]) store(ctx context.Context, p *pending[T]) (taken bool, err error) {
	if p.stage >= stored {
		return false, nil
	}
	err = c.attempt(ctx, "Put", p, func(ctx context.Context) error {
		return c.blobs.Put(ctx, p.entry.Key, p.blob)
	})
	if errors.Is(err, index.ErrExists) {
		return true, nil
	}
	if err == nil {
		p.reach(stored)
	}
	return false, err
}

// index makes a stored blob discoverable.
func (c *Collector[T]) index(ctx context.Context, p *pending[T]) (taken bool, err error) {
	err = c.attempt(ctx, "Index", p, func(ctx context.Context) error {
		return c.entries.Put(ctx, p.row, p.entry)
	})
	if errors.Is(err, index.ErrExists) {
		return c.takenByOther(ctx, p)
	}
	if err == nil {
		p.reach(indexed)
	}
	return false, err
}

// takenByOther tells whether a taken instant is another writer's, or this
// value's own from an attempt that seemed to fail. An entry with this value's
// key is its own, since the key was stored or committed by it alone.
func (c *Collector[T]) takenByOther(ctx context.Context, p *pending[T]) (taken bool, err error) {
	var there []index.Entry
	err = c.attempt(ctx, "Query", p, func(ctx context.Context) error {
		there, err = c.entries.Query(ctx, p.row, p.entry.Time, p.entry.Time+1)
		return err
	})
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(there, p.entry.Same) {
		p.reach(indexed)
		return false, nil
	}
	return true, nil
}

// attempt runs one step of a flush under its deadline and measures it.
func (c *Collector[T]) attempt(ctx context.Context, step string, p *pending[T], f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Deadline)
	defer cancel()
	begun := time.Now()
	err := traceStep(ctx, step, f)
	c.metrics.observe(step, err, time.Since(begun))
	if err != nil && !errors.Is(err, index.ErrExists) {
		return fmt.Errorf("%s the value of tenant %q, key %s: %w", step, p.owner.id, p.entry.Key, err)
	}
	return err
}
