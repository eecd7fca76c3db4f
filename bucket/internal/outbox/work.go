package outbox

import (
	"context"
	"sync"
	"time"
)

// Try makes one attempt to deliver a value. It should return when ctx ends.
// failed is how many attempts at this value have failed before.
type Try[V any] func(ctx context.Context, v V, failed int) error

// Work tries values as they become due until ctx ends or enough reports true,
// and returns when the attempts that it began have ended. It does not wait for an
// attempt that takes Stuck, or Slow after ctx has ended. An error makes the
// value wait for its next attempt, unless ctx has ended: then the value is due
// as before. enough is called often, by several goroutines at a time. Several
// calls of Work share the workers.
func (o *Outbox[V]) Work(ctx context.Context, try Try[V], enough func() bool) {
	var work sync.WaitGroup
	for c := range classes {
		work.Go(func() { o.workOn(ctx, c, try, enough) })
	}
	work.Wait()
}

func (o *Outbox[V]) workOn(ctx context.Context, from class, try Try[V], enough func() bool) {
	var attempts sync.WaitGroup
	defer attempts.Wait()
	for ctx.Err() == nil && !enough() {
		it, wait, changed := o.take(from, time.Now())
		switch {
		case it != nil:
			attempts.Add(1)
			o.attempt(ctx, it, try, sync.OnceFunc(attempts.Done))
		case !enough(): // asked again: it may have become true before changed was made
			await(ctx, wait, changed)
		}
	}
}

// attempt begins an attempt. It calls done, at least once, when nobody shall wait for
// the attempt any longer.
func (o *Outbox[V]) attempt(ctx context.Context, it *item[V], try Try[V], done func()) {
	begun, a, tries := time.Now(), it.trying, it.tries
	stuck := time.AfterFunc(o.opts.Stuck, func() { o.free(it, a); done() })
	left := context.AfterFunc(ctx, func() { time.AfterFunc(o.opts.Slow, done) })
	go func() {
		defer done()
		err := try(ctx, it.value, tries)
		stuck.Stop()
		left()
		if err != nil {
			o.putBack(it, ctx.Err() == nil, time.Since(begun))
			return
		}
		o.delivered(it)
	}()
}

// await waits until wait has passed, unless it is negative, changed is closed, or
// ctx ends.
func await(ctx context.Context, wait time.Duration, changed <-chan struct{}) {
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
