package outbox

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Try makes one attempt to deliver a value. It should return when ctx ends.
// failed is how many attempts at this value have failed before. A *WaitError
// is no failure.
type Try[V any] func(ctx context.Context, v V, failed int) error

// WaitError says that a value cannot be delivered for some time, although nothing fails.
// It is tried again after For, but not sooner than after Backoff.
type WaitError struct {
	For   time.Duration
	Cause error
}

func (e *WaitError) Error() string { return e.Cause.Error() }

func (e *WaitError) Unwrap() error { return e.Cause }

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
	var attempts sync.WaitGroup // the attempts to wait for
	defer o.leave(ctx, &attempts)
	for ctx.Err() == nil && !enough() {
		it, wait, changed := o.take(from, o.now())
		switch {
		case it != nil:
			attempts.Add(1)
			o.attempt(ctx, it, try, &attempts)
		case !enough(): // asked again: it may have become true before changed was made
			await(ctx, wait, changed)
		}
	}
}

// attempt begins an attempt, which is one of attempts until it ends or takes Stuck.
func (o *Outbox[V]) attempt(ctx context.Context, it *item[V], try Try[V], attempts *sync.WaitGroup) {
	begun, a, tries := time.Now(), it.trying, it.tries
	stuck := time.AfterFunc(o.opts.Stuck, func() {
		if o.free(it, a) {
			attempts.Done()
		}
	})
	go func() {
		err := try(ctx, it.value, tries)
		stuck.Stop()
		wait, waits := errors.AsType[*WaitError](err)
		switch {
		case err == nil:
			o.delivered(it)
		case waits && ctx.Err() == nil:
			o.postpone(it, wait.For)
		default:
			o.putBack(it, ctx.Err() == nil, time.Since(begun))
		}
		if !a.freed { // it cannot become so any more
			attempts.Done()
		}
	}()
}

// leave waits for attempts, but not longer than Slow after ctx has ended.
func (o *Outbox[V]) leave(ctx context.Context, attempts *sync.WaitGroup) {
	ended := make(chan struct{})
	go func() { attempts.Wait(); close(ended) }()
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	select {
	case <-ended:
	case <-time.After(o.opts.Slow):
	}
}

// Await waits until the attempts at some values that are under way have ended or taken Stuck,
// or until ctx ends.
func (o *Outbox[V]) Await(ctx context.Context, some func(V) bool) {
	trying := o.tries(some)
	for changed := o.goesOn(trying); changed != nil && ctx.Err() == nil; changed = o.goesOn(trying) {
		await(ctx, -1, changed)
	}
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
