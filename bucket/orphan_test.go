package bucket_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/journal"
)

// TestDeleteWithdrawsWhatWasTakenOver deletes a value that an earlier process left in the journal. It leaves the live window, too.
func TestDeleteWithdrawsWhatWasTakenOver(t *testing.T) {
	t.Parallel()
	d, dir := newDeletable(t), t.TempDir()
	life := func(use func(c *bucket.Collector[ids])) {
		t.Helper()
		j, err := journal.Open(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		opts := fast()
		opts.Journal, opts.Window = j, time.Hour
		opts.Tick = opts.Window / 5
		c := d.collector(t, d.blobs, opts)
		use(c)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_ = c.Close(ended)
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
	d.rows.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken})
	life(func(c *bucket.Collector[ids]) {
		if err := c.Add(t.Context(), "a", ids{1}, nil); err != nil {
			t.Fatal(err)
		}
	})
	life(func(c *bucket.Collector[ids]) {
		a, err := c.At(t.Context(), "a", time.Now(), nil)
		wantIDs(t, "taken over", a, err, ids{1})
		if _, err := c.Delete(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), now); err != nil {
			t.Fatal(err)
		}
		a, err = c.At(t.Context(), "a", time.Now(), nil)
		wantIDs(t, "deleted", a, err, nil)
	})
}

// TestADeletionTakesABlobThatWaits has a collector store a blob while it does not reach the index. Another process deletes the
// range, and with it the blob that no entry names. The collector then indexes its value with a blob.
func TestADeletionTakesABlobThatWaits(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]time.Duration{"now": 0, "past": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { deleteWhileABlobWaits(t, at) })
		})
	}
}

// deleteWhileABlobWaits does so for a value of an instant so long ago; 0 is the open tick.
func deleteWhileABlobWaits(t *testing.T, ago time.Duration) {
	t.Helper()
	d := newDeletable(t)
	opts := fast()
	opts.Backoff, opts.MaxBackoff = time.Second, 10*time.Second
	c := d.collector(t, d.blobs, opts)
	from, to := time.Now().Add(-2*time.Hour), time.Now().Add(time.Minute)
	var add bucket.AddOptions
	if ago > 0 {
		add.At = time.Now().Add(-ago)
	}
	d.rows.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken})
	if err := c.Add(t.Context(), "a", ids{1}, &add); err != nil {
		t.Fatal(err)
	}
	flushed := make(chan error)
	go func() { flushed <- c.Flush(t.Context()) }()
	synctest.Wait()
	deleter, err := bucket.NewDeleter(d.mem, d.held)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := deleter.Delete(t.Context(), "a", from, to, nil); err != nil || done.Orphans != 1 {
		t.Fatalf("deleted %+v, %v", done, err)
	}
	d.rows.Heal()
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	a, err := c.Range(t.Context(), "a", from, to, nil)
	wantIDs(t, "after the outage", a, err, ids{1})
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
