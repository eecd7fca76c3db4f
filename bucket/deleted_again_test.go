package bucket_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
)

// interruptADeletion flushes, and interrupts a deletion of tenant a that waits for the flush's slow put. The flush goes on.
func interruptADeletion(t *testing.T, c *bucket.Collector[ids]) (flushed chan error) {
	t.Helper()
	from, to := hour()
	flushed = make(chan error, 1)
	go func() { flushed <- c.Flush(t.Context()) }()
	time.Sleep(time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := c.Delete(ctx, "a", from, to, now); err == nil {
		t.Fatal("the deletion was not interrupted")
	}
	return flushed
}

// TestDeletionsOfATenantWaitForEachOther has a deletion hang. Another one of the same tenant waits for it: the first may have taken values out
// of memory that it has not deleted yet. Other tenants' deletions pass.
func TestDeletionsOfATenantWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDeletable(t)
		c := d.collector(t, d.blobs, fast())
		from, to := hour()
		mustAddAt(t, c, "a", from.Add(time.Minute), 1)
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.rows.Inject(faulttest.Fault{Op: faulttest.Delete, Hang: true, Times: 1})
		first := make(chan error, 1)
		go func() {
			_, err := c.Delete(t.Context(), "a", from, to, now)
			first <- err
		}()
		time.Sleep(time.Second)
		for tenant, want := range map[string]error{"a": context.DeadlineExceeded, "b": nil} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := c.Delete(ctx, tenant, to, to.Add(time.Minute), now); !errors.Is(err, want) {
				t.Errorf("%s: %v", tenant, err)
			}
		}
		d.rows.Heal()
		if err := <-first; err != nil {
			t.Error(err)
		}
		if _, err := c.Delete(t.Context(), "a", to, to.Add(time.Minute), now); err != nil {
			t.Error(err)
		}
	})
}

// unsyncedJournal cannot make records done for good while fails is true.
type unsyncedJournal struct {
	*memJournal
	fails bool
}

func (j *unsyncedJournal) Sync(context.Context) error {
	if j.fails {
		return errBroken
	}
	return nil
}

// TestADeletionWaitsForTheJournal deletes a value whose record a crash could make undone again.
func TestADeletionWaitsForTheJournal(t *testing.T) {
	t.Parallel()
	d, j := newDeletable(t), &unsyncedJournal{newMemJournal(), true}
	c := d.collector(t, d.blobs, journaled(j))
	from, to := hour()
	mustAddAt(t, c, "a", from.Add(time.Minute), 1)
	_, err := c.Delete(t.Context(), "a", from, to, now)
	if _, typed := errors.AsType[*bucket.JournalError](err); !typed || !errors.Is(err, errBroken) {
		t.Errorf("the error is %v", err)
	}
	j.fails = false
	if _, err := c.Delete(t.Context(), "a", from, to, now); err != nil {
		t.Error(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestADeletionThatWasInterruptedIsRepeated has a deletion end while an attempt at a value is under way. The next one waits for that attempt, and
// deletes the value.
func TestADeletionThatWasInterruptedIsRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, j := newDeletable(t), newMemJournal()
		opts := journaled(j)
		opts.Deadline = 30 * time.Second
		c := d.collector(t, d.blobs, opts)
		from, to := hour()
		mustAddAt(t, c, "a", from.Add(time.Minute), 1)
		d.rows.Inject(faulttest.Fault{Op: faulttest.Put, Delay: 20 * time.Second, Times: 1})
		flushed := interruptADeletion(t, c)
		if _, err := c.Delete(t.Context(), "a", from, to, now); err != nil {
			t.Fatal(err)
		}
		if n := j.afterKill(0).live(); n > 0 {
			t.Errorf("a kill now would bring %d records back", n)
		}
		if err := <-flushed; err != nil {
			t.Error(err)
		}
		v, err := c.Range(t.Context(), "a", from, to, nil)
		wantIDs(t, "deleted", v, err, nil)
	})
}

// hangingEnd is a journal that is slow to call records done.
type hangingEnd struct {
	*memJournal
	hangs  atomic.Bool
	resume chan struct{}
}

func (j *hangingEnd) End(ids ...uint64) {
	if j.hangs.Load() {
		<-j.resume
	}
	j.memJournal.End(ids...)
}

// TestADeletionWaitsForTheEndOfAFlush deletes a value that is stored, and whose records are not called done yet. A kill after the deletion does not
// bring it back.
func TestADeletionWaitsForTheEndOfAFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, j := newDeletable(t), &hangingEnd{memJournal: newMemJournal(), resume: make(chan struct{})}
		c := d.collector(t, d.blobs, journaled(j))
		from, to := hour()
		mustAddAt(t, c, "a", from.Add(time.Minute), 1)
		j.hangs.Store(true)
		flushed := make(chan error, 1)
		go func() { flushed <- c.Flush(t.Context()) }()
		synctest.Wait()
		time.AfterFunc(time.Second, func() { close(j.resume) })
		if _, err := c.Delete(t.Context(), "a", from, to, now); err != nil {
			t.Fatal(err)
		}
		if n := j.afterKill(0).live(); n > 0 {
			t.Errorf("a kill now would bring %d records back", n)
		}
		if err := <-flushed; err != nil {
			t.Error(err)
		}
	})
}

// TestADeletionEndsWhileAMergeHangs has a merge of the tenant hang while a deletion says that the records of its value are done. The deletion
// ends all the same.
func TestADeletionEndsWhileAMergeHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, j, merged := newDeletable(t), &hangingEnd{memJournal: newMemJournal(), resume: make(chan struct{})}, make(chan struct{})
		opts, hangs := journaled(j), atomic.Bool{}
		opts.Clone, opts.Into = func(v ids) ids { return append(ids(nil), v...) }, func(dst, src ids) (ids, error) {
			if hangs.Load() {
				<-merged
			}
			return append(dst, src...), nil
		}
		c := d.collector(t, d.blobs, opts)
		from, to := hour()
		mustAddAt(t, c, "a", from.Add(time.Minute), 1)
		j.hangs.Store(true)
		deleted := make(chan error, 1)
		go func() {
			_, err := c.Delete(t.Context(), "a", from, to, now)
			deleted <- err
		}()
		synctest.Wait()
		mustAdd(t, c, "a", 2)
		hangs.Store(true)
		added := make(chan error, 1)
		go func() { added <- c.Add(t.Context(), "a", ids{3}, nil) }()
		synctest.Wait()
		close(j.resume)
		select {
		case err := <-deleted:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Hour):
			t.Error("the deletion waits for the merge")
		}
		close(merged)
		if err := <-added; err != nil {
			t.Error(err)
		}
		closeSoon(t, c)
	})
}

// TestFailedMayDelete has Failed delete what its tenant has.
func TestFailedMayDelete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDeletable(t)
		d.tier.Inject(faulttest.Fault{Op: faulttest.Put, Err: tooLarge{}})
		var c *bucket.Collector[ids]
		from, to := hour()
		opts, told := journaled(newMemJournal()), make(chan error, 1)
		opts.Failed = func(string, ids, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := c.Delete(ctx, "a", from, to, now)
			told <- err
		}
		c = d.collector(t, d.blobs, opts)
		mustAddAt(t, c, "a", from.Add(time.Minute), 1)
		closeSoon(t, c)
		if err := <-told; err != nil {
			t.Error(err)
		}
	})
}

// TestAWithdrawnValueDoesNotMove interrupts a deletion of a value at the end of its range. The attempt that is under way finds the instant taken. The
// value does not move out of the range, and the deletion that is repeated takes it.
func TestAWithdrawnValueDoesNotMove(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDeletable(t)
		opts := fast()
		opts.Deadline = 30 * time.Second
		from, to := hour()
		at := to.Add(-1)
		other := d.collector(t, d.blobs, fast())
		mustAddAt(t, other, "a", at, 1)
		if err := other.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := d.collector(t, d.blobs, opts)
		mustAddAt(t, c, "a", at, 2)
		d.rows.Inject(faulttest.Fault{Op: faulttest.Put, Delay: 20 * time.Second, Times: 2})
		flushed := interruptADeletion(t, c)
		time.Sleep(25 * time.Second) // it would be put at another instant now
		if _, err := c.Delete(t.Context(), "a", from, to, now); err != nil {
			t.Fatal(err)
		}
		if err := <-flushed; err != nil {
			t.Error(err)
		}
		v, err := c.Range(t.Context(), "a", from, to.Add(time.Hour), nil)
		wantIDs(t, "deleted", v, err, nil)
	})
}

// TestADeletionWhileFailedRuns has Failed wait while its value is deleted. The deletion does not wait for it, and a kill afterwards does not
// bring the value back.
func TestADeletionWhileFailedRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, j := newDeletable(t), newMemJournal()
		d.tier.Inject(faulttest.Fault{Op: faulttest.Put, Err: tooLarge{}})
		from, to := hour()
		opts, resume := journaled(j), make(chan struct{})
		opts.Failed = func(string, ids, error) { <-resume }
		c := d.collector(t, d.blobs, opts)
		mustAddAt(t, c, "a", from.Add(time.Minute), 1)
		flushed := make(chan error, 1)
		go func() { flushed <- c.Flush(t.Context()) }()
		synctest.Wait()
		if _, err := c.Delete(t.Context(), "a", from, to, now); err != nil {
			t.Fatal(err)
		}
		if n := j.afterKill(0).live(); n > 0 {
			t.Errorf("a kill now would bring %d records back", n)
		}
		close(resume)
		if err := <-flushed; err != nil {
			t.Error(err)
		}
		if n := j.live(); n > 0 {
			t.Errorf("%d records have not ended", n)
		}
	})
}

// saying calls a function for each message of a log.
type saying struct {
	slog.Handler
	on func(message string)
}

func (s saying) Enabled(context.Context, slog.Level) bool { return true }

func (s saying) Handle(_ context.Context, r slog.Record) error {
	s.on(r.Message)
	return nil
}

// TestAValueThatIsDeletedWhileItIsGivenUp deletes a value just before it is dropped, as one that can never be stored. Failed is not told of it, and
// the deletion ends.
func TestAValueThatIsDeletedWhileItIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, deleted := newDeletable(t), make(chan error, 1)
		d.tier.Inject(faulttest.Fault{Op: faulttest.Put, Err: tooLarge{}})
		var c *bucket.Collector[ids]
		from, to := hour()
		opts := journaled(newMemJournal())
		opts.Logger = slog.New(saying{slog.DiscardHandler, func(message string) {
			if message != "values can never be stored and are dropped" {
				return
			}
			go func() {
				_, err := c.Delete(t.Context(), "a", from, to, now)
				deleted <- err
			}()
			time.Sleep(time.Second) // it has withdrawn the value
		}})
		opts.Failed = func(string, ids, error) { t.Error("Failed is told of a value that was deleted") }
		c = d.collector(t, d.blobs, opts)
		mustAddAt(t, c, "a", from.Add(time.Minute), 1)
		closeSoon(t, c)
		if err := <-deleted; err != nil {
			t.Error(err)
		}
	})
}

// hangingOnce is a journal in which one record waits for the end of its context.
type hangingOnce struct {
	*memJournal
	hangs atomic.Bool
}

func (j *hangingOnce) Append(ctx context.Context, kind byte, meta, blob []byte) (uint64, error) {
	if j.hangs.CompareAndSwap(true, false) {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return j.memJournal.Append(ctx, kind, meta, blob)
}

// TestTheIDOfADeletedValueOutlivesAnInterruptedFlush deletes a value while a flush is interrupted in which the journal hangs. Its id is known
// after a restart.
func TestTheIDOfADeletedValueOutlivesAnInterruptedFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, j := newDeletable(t), &hangingOnce{memJournal: newMemJournal()}
		opts := journaled(j)
		opts.Deadline = time.Hour
		c := d.collector(t, d.blobs, opts)
		add := func(c *bucket.Collector[ids]) {
			t.Helper()
			if err := c.Add(t.Context(), "a", ids{1}, &bucket.AddOptions{ID: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		add(c)
		j.hangs.Store(true)
		flush, cancel := context.WithCancel(t.Context())
		flushed, deleted := make(chan error, 1), make(chan error, 1)
		go func() { flushed <- c.Flush(flush) }()
		synctest.Wait()
		go func() {
			_, err := c.DeleteTenant(t.Context(), "a", now)
			deleted <- err
		}()
		synctest.Wait()
		cancel()
		<-flushed
		if err := <-deleted; err != nil {
			t.Error(err)
		}
		next := *opts
		next.Journal = j.afterKill(0)
		again := d.collector(t, d.blobs, &next)
		add(again)
		v, err := again.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), nil)
		wantIDs(t, "repeated", v, err, nil)
	})
}

// TestADeletionKnowsWhatEndedMeanwhile deletes two values while attempts at them are under way. The attempt at the second fails first, ends its
// value, and takes effect later: while the deletion waits to look again. Then the flush, which nothing else wakes, ends too.
func TestADeletionKnowsWhatEndedMeanwhile(t *testing.T) {
	t.Parallel()
	for values, first := range map[int]int{8: 1, 40: 20} { // at the 20th several values of the tenant are tried at a time
		synctest.Test(t, func(t *testing.T) { deleteWhileTwoAreTried(t, values, first) })
	}
}

func deleteWhileTwoAreTried(t *testing.T, values, first int) {
	d := newDeletable(t)
	opts := fast()
	opts.Deadline, opts.Flushes = 30*time.Second, 8
	c := d.collector(t, d.blobs, opts)
	from, to := hour()
	slow := func(minute int, takes time.Duration, behind int) {
		at := from.Add(time.Duration(minute) * time.Minute).UnixNano()
		d.rows.Inject(faulttest.Fault{Op: faulttest.Put, Match: func(call faulttest.Call) bool { return call.Entry.Time == at },
			Delay: takes, Err: errBroken, Behind: behind, Times: 1})
	}
	slow(first, 20*time.Second, 0)
	slow(first+1, 10*time.Second, 100_000)
	for i := 1; i <= values; i++ {
		mustAddAt(t, c, "a", from.Add(time.Duration(i)*time.Minute), i)
	}
	flushed := make(chan error, 1)
	go func() { flushed <- c.Flush(t.Context()) }()
	time.Sleep(5 * time.Second)
	time.AfterFunc(40*time.Second, d.rows.Heal) // the failed put takes effect
	if _, err := c.Delete(t.Context(), "a", from, to, &bucket.DeleteOptions{Wait: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if err := <-flushed; err != nil {
		t.Error(err)
	}
	v, err := c.Range(t.Context(), "a", from, to, nil)
	wantIDs(t, "deleted", v, err, nil)
}
