package bucket_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// TestDeleteWithdrawsWhatWasTakenOver deletes a value that an earlier process left in the journal. It leaves the live window, too.
func TestDeleteWithdrawsWhatWasTakenOver(t *testing.T) {
	t.Parallel()
	d, dir := newDeletable(t), t.TempDir()
	life := func(use func(c *bucket.Collector[ids])) {
		t.Helper()
		j := mustOpen(t, dir)
		opts := fast()
		opts.Journal, opts.Window = j, time.Hour
		opts.Tick = opts.Window / 5
		c := d.collector(t, d.blobs, opts)
		use(c)
		mustClose(t, c, j)
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
	flushed := d.flushing(t, c)
	d.deleteHours(t, d.held)
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

// meanwhile is a tier that calls before the first deletion of blobs.
type meanwhile struct {
	*tiered.MemTier
	before func()
}

func (m meanwhile) Delete(ctx context.Context, keys []string) error {
	m.before()
	return m.MemTier.Delete(ctx, keys)
}

// flushing has a collector flush, again and again while the index refuses entries.
func (d *deletable) flushing(t *testing.T, c *bucket.Collector[ids]) (flushed chan error) {
	t.Helper()
	flushed = make(chan error, 1)
	go func() { flushed <- c.Flush(t.Context()) }()
	synctest.Wait()
	return flushed
}

// deleteHours deletes two hours with blobs in another process.
func (d *deletable) deleteHours(t *testing.T, blobs bucket.BlobDeleter) {
	t.Helper()
	deleter, err := bucket.NewDeleter(d.mem, blobs)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := deleter.Delete(t.Context(), "a", time.Now().Add(-2*time.Hour), time.Now().Add(time.Minute), nil); err != nil || done.Orphans != 1 {
		t.Fatalf("deleted %+v, %v", done, err)
	}
}

// TestAnEntryComesWhileItsBlobIsDeleted has an entry arrive after a deletion by another process has read the index for the last
// time, and before it deletes the blob. The entry goes with the blob, so that no question fails.
func TestAnEntryComesWhileItsBlobIsDeleted(t *testing.T) {
	t.Parallel()
	for name, ago := range map[string]time.Duration{"now": 0, "past": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDeletable(t)
				opts := fast()
				opts.Backoff, opts.MaxBackoff = time.Second, 10*time.Second
				c := d.collector(t, d.blobs, opts)
				d.rows.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken})
				from, to := time.Now().Add(-2*time.Hour), time.Now().Add(time.Minute)
				var add bucket.AddOptions
				if ago > 0 {
					add.At = time.Now().Add(-ago)
				}
				if err := c.Add(t.Context(), "a", ids{1}, &add); err != nil {
					t.Fatal(err)
				}
				flushed := d.flushing(t, c)
				d.deleteHours(t, meanwhile{d.held, sync.OnceFunc(func() {
					d.rows.Heal()
					if err := <-flushed; err != nil {
						t.Error(err)
					}
				})})
				a, err := c.Range(t.Context(), "a", from, to, nil)
				wantIDs(t, "deleted", a, err, nil)
				d.want(t, 0, nil)
			})
		})
	}
}

// TestALateEntryOfAKilledCollector kills a collector whose blob a deletion takes, and whose last request to the index arrives after
// that. The next collector finds the entry, and stores the blob again.
func TestALateEntryOfAKilledCollector(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, j := newDeletable(t), newMemJournal()
		d.rows.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken, Behind: 1 << 20})
		killed := d.collector(t, d.blobs, journaled(j))
		mustAdd(t, killed, "a", 1)
		ended, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := killed.Flush(ended); err == nil {
			t.Fatal("flushed into an index that fails")
		}
		d.deleteHours(t, d.held)
		d.rows.Heal()
		c := d.collector(t, d.blobs, journaled(j.afterKill(0)))
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.want(t, 1, ids{1})
	})
}

// earlier kills a collector that has stored a blob of some values, and not its entry. It returns the options of the next one.
func (d *deletable) earlier(t *testing.T, values ...int) *bucket.CollectorOptions[ids] {
	t.Helper()
	j := newMemJournal()
	d.rows.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken})
	killed := d.collector(t, d.blobs, journaled(j))
	mustAdd(t, killed, "a", values...)
	ended, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := killed.Flush(ended); err == nil {
		t.Fatal("flushed into an index that fails")
	}
	opts := journaled(j.afterKill(0))
	opts.Backoff, opts.MaxBackoff = time.Second, time.Second
	opts.Failed = func(_ string, v ids, err error) { t.Errorf("%v is given up: %v", v, err) }
	return opts
}

// deletedBeforeItsEntry begins a flush of the value 1 into an index that fails, and then deletes the blob that an earlier attempt has put. The
// entry arrives after that. The store keeps a blob that is there, or replaces it.
func deletedBeforeItsEntry(t *testing.T, flush func(*testing.T, *deletable) chan error) {
	t.Parallel()
	for name, replaced := range map[string]bool{"there": false, "replaced": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDeletable(t)
				d.held.Overwrite = replaced
				flushed := flush(t, d)
				d.deleteHours(t, d.held) // takes a minute
				d.rows.Heal()
				if err := <-flushed; err != nil {
					t.Fatal(err)
				}
				d.want(t, 1, ids{1})
			})
		})
	}
}

// TestTheAgeOfAnEarlierBlob kills a collector that has stored a blob without its entry. The next one puts it ten seconds before it is deleted by
// a deletion that has listed it before, and its entry arrives after that. The blob is there already, or is replaced.
func TestTheAgeOfAnEarlierBlob(t *testing.T) {
	deletedBeforeItsEntry(t, func(t *testing.T, d *deletable) chan error {
		next, flushed := d.collector(t, d.blobs, d.earlier(t, 1)), make(chan error, 1)
		time.AfterFunc(50*time.Second, func() { flushed <- next.Flush(t.Context()) })
		return flushed
	})
}

// refusing is a store that does not encode while bad is true.
type refusing struct {
	*tiered.Store[ids]
	bad atomic.Bool
}

func (f *refusing) Encode(v ids) ([]byte, error) {
	if f.bad.Load() {
		return nil, errBroken
	}
	return f.Store.Encode(v)
}

// TestTheAgeOfABlobThatIsDoubted has the codec fail for 50 s in the next process. The blob that is found then stays as old as it is.
func TestTheAgeOfABlobThatIsDoubted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDeletable(t)
		store := &refusing{Store: d.blobs}
		store.bad.Store(true)
		next := d.collector(t, store, d.earlier(t, 1, 2))
		flushed := d.flushing(t, next)
		time.AfterFunc(50*time.Second, func() {
			store.bad.Store(false)
			_ = next.Flush(t.Context()) // at once
		})
		d.deleteHours(t, d.held) // takes a minute
		d.rows.Heal()
		if err := <-flushed; err != nil {
			t.Fatal(err)
		}
		d.want(t, 1, ids{1, 2})
	})
}

// twice deletes blobs twice, as a driver that tries again does, and calls a function in between.
type twice struct {
	*tiered.MemTier
	between func()
}

func (d twice) Delete(ctx context.Context, keys []string) error {
	err := d.MemTier.Delete(ctx, keys)
	d.between()
	return errors.Join(err, d.MemTier.Delete(ctx, keys))
}

// TestABlobThatIsDeletedTwice puts a blob again between two requests of a deletion that has listed its key.
func TestABlobThatIsDeletedTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDeletable(t)
		next, flushed := d.collector(t, d.blobs, d.earlier(t, 1)), make(chan error, 1)
		d.deleteHours(t, twice{d.held, func() {
			go func() { flushed <- next.Flush(t.Context()) }()
			time.Sleep(2 * time.Second)
		}})
		d.rows.Heal()
		if err := <-flushed; err != nil {
			t.Fatal(err)
		}
		d.want(t, 1, ids{1})
	})
}

// TestTheAgeOfABlobThatWasThere puts a blob with an attempt that seems to fail. Much later the collector finds that the blob is there, or
// replaces it. A deletion has listed it, and deletes it just before the entry arrives.
func TestTheAgeOfABlobThatWasThere(t *testing.T) {
	deletedBeforeItsEntry(t, func(t *testing.T, d *deletable) chan error {
		opts := fast()
		opts.Backoff, opts.MaxBackoff = time.Second, time.Second
		c := d.collector(t, d.blobs, opts)
		d.tier.Inject(faulttest.Fault{Op: faulttest.Put, Applied: true, Times: 1})
		d.tier.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken})
		d.rows.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken})
		if err := c.Add(t.Context(), "a", ids{1}, &bucket.AddOptions{At: time.Now().Add(-time.Hour)}); err != nil {
			t.Fatal(err)
		}
		flushed := d.flushing(t, c)
		time.AfterFunc(50*time.Second, d.tier.Heal)
		return flushed
	})
}

// owning is a store that recognises the blobs of its own puts that seemed to fail.
type owning struct{ *tiered.Store[ids] }

func (o owning) Put(ctx context.Context, key string, blob []byte) error {
	err := o.Store.Put(ctx, key, blob)
	if errors.Is(err, tiered.ErrExists) {
		return ownError{err}
	}
	return err
}

type ownError struct{ error }

func (e ownError) Unwrap() error { return e.error }
func (ownError) Own() bool       { return true }

// TestTheAgeOfAnOwnBlob has the store recognise, much later, the blob of a put that seemed to fail. The key is no fresh one, and
// the value keeps it. A deletion that has listed the blob deletes it just before the entry arrives; then it is stored again.
func TestTheAgeOfAnOwnBlob(t *testing.T) {
	t.Parallel()
	for name, deleted := range map[string]bool{"deleted": true, "kept": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDeletable(t)
				opts := fast()
				opts.Backoff, opts.MaxBackoff = time.Second, time.Second
				c := d.collector(t, owning{d.blobs}, opts)
				d.tier.Inject(faulttest.Fault{Op: faulttest.Put, Applied: true, Times: 1})
				d.tier.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken})
				d.rows.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken})
				mustAdd(t, c, "a", 1)
				flushed := d.flushing(t, c)
				time.AfterFunc(50*time.Second, d.tier.Heal)
				if time.Sleep(time.Second); deleted {
					d.deleteHours(t, d.held) // takes a minute
				} else {
					time.Sleep(time.Minute)
				}
				d.rows.Heal()
				if err := <-flushed; err != nil {
					t.Fatal(err)
				}
				d.want(t, 1, ids{1})
			})
		})
	}
}

// erased is an index whose first put seems to fail. When the second put has been told that the instant is taken, a deletion takes the entry
// and its blob.
type erased struct {
	*index.MemIndex
	blobs *faulttest.Tier
	puts  atomic.Int64
}

func (x *erased) Put(ctx context.Context, row index.Row, e index.Entry) error {
	err := x.MemIndex.Put(ctx, row, e)
	switch x.puts.Add(1) {
	case 1:
		return errors.Join(err, errBroken)
	case 2:
		gone := errors.Join(x.Delete(index.Holding(ctx), row, []index.Entry{e}), x.blobs.Delete(ctx, []string{e.Key}))
		if gone != nil {
			panic(gone)
		}
	}
	return err
}

// TestADeletionTakesWhatSeemedToFail lets a value keep the instant at which its entry was deleted. Its blob is stored again.
func TestADeletionTakesWhatSeemedToFail(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	x := &erased{MemIndex: index.NewMemIndex(), blobs: s.tier}
	s.index = faulttest.NewIndex(x, 1)
	c := s.collector(t, fast())
	mustAdd(t, c, "a", 1)
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, "stored", s.stored(t, "a"), nil, ids{1})
}
