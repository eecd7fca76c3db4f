package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
)

var threeTenants = []string{"t0", "t1", "t2"}

// synced are options for a store whose commits are in memory alone until it syncs.
func synced(c *committer, fail func() bool, tenants ...string) func(bucket.Journal) *bucket.CollectorOptions[ids] {
	return func(j bucket.Journal) *bucket.CollectorOptions[ids] {
		o := journaled(j)
		o.Committer, o.Sync = c, c.sync(fail, tenants...)
		return o
	}
}

// syncing is a store whose commits are in memory alone until it syncs, and a journal.
type syncing struct {
	*stores
	committer *committer
	journal   *memJournal
	opts      *bucket.CollectorOptions[ids] // of a tick of a second
}

func newSyncing(t *testing.T, fail func() bool) *syncing {
	co, j := &committer{index: index.NewMemIndex()}, newMemJournal()
	o := synced(co, fail, "a")(j)
	o.SyncEvery, o.Tick, o.Window = time.Minute, time.Second, 5*time.Second
	return &syncing{co.stores(t), co, j, o}
}

// run returns a collector that runs until it is closed.
func (s *syncing) run(t *testing.T) *bucket.Collector[ids] {
	c := s.collector(t, s.opts)
	go func() { _ = c.Run(context.Background()) }()
	return c
}

func never() bool { return false }

// TestKillsBeforeASync kills collectors at random moments. A kill, and a sync that
// fails, take back what was committed since the last sync, and some commits fail,
// also in spite of having landed. Each value that was acknowledged must be stored
// exactly once.
func TestKillsBeforeASync(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			c := &committer{index: index.NewMemIndex(), fault: func(n int) faulttest.Fault {
				if n%5 == 0 {
					return faulttest.Fault{Err: errBroken, Applied: n%2 == 0}
				}
				return faulttest.Fault{}
			}}
			k := newKilling(t, c.stores(t), seed)
			syncs := 0
			k.opts = func(j bucket.Journal) *bucket.CollectorOptions[ids] {
				o := synced(c, func() bool { syncs++; return syncs%3 == 0 }, threeTenants...)(j)
				o.Alone = true // so that nothing waits for commits of those that were killed
				return o
			}
			k.kill = func() { c.lose(threeTenants...) }
			for range 6 {
				k.life()
			}
			k.check(func() {})
		})
	}
}

// TestAnswersWhileSyncsFail loses commits again and again while Run runs. Every
// answer must hold every value once.
func TestAnswersWhileSyncsFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var failing atomic.Bool
		failing.Store(true)
		s := newSyncing(t, failing.Load)
		s.opts.SyncEvery, s.opts.Window = 5*time.Second, 3*time.Second
		c := s.run(t)
		begun := time.Now()
		for i := range 60 {
			mustAdd(t, c, "a", i)
			time.Sleep(700 * time.Millisecond)
			v, err := c.Range(t.Context(), "a", begun.Add(-time.Hour), time.Now().Add(time.Second), nil)
			wantIDs(t, fmt.Sprint("after ", i), v, err, upTo(i+1))
		}
		if n := s.journal.live(); n < 60 {
			t.Errorf("%d records are in the journal, though nothing is synced", n)
		}
		failing.Store(false)
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.committer.lose("a")
		wantIDs(t, "stored", s.stored(t, "a"), nil, upTo(60))
		if n := s.journal.live(); n != 0 {
			t.Errorf("%d records are left in the journal", n)
		}
	})
}

// TestCommittedValuesAreNotPending commits without a sync: nobody waits for the
// value, and its records stay until the sync.
func TestCommittedValuesAreNotPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSyncing(t, never)
		c := s.run(t)
		mustAdd(t, c, "a", 1)
		time.Sleep(1500 * time.Millisecond)
		share, err := c.Share(t.Context(), "a")
		if n, left := c.Pending(), waitingOf(t, c, "a"); n != 0 || share.Values != 0 || share.Bytes != 0 || len(left) != 0 || err != nil {
			t.Errorf("a committed value is pending: %d bytes, %+v, %v, %v", n, share, left, err)
		}
		if n := s.journal.live(); n != 2 {
			t.Errorf("%d records, want the value's and its seal's", n)
		}
		time.Sleep(time.Minute)
		if n := s.journal.live(); n != 0 {
			t.Errorf("%d records are left after the sync", n)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestSyncsFollowTheBytes syncs early once the journal holds much.
func TestSyncsFollowTheBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSyncing(t, never)
		s.opts.SyncEvery, s.opts.SyncBytes = time.Hour, 100
		c := s.run(t)
		for i := range 100 {
			mustAdd(t, c, "a", i)
		}
		time.Sleep(3 * time.Second)
		if n := s.journal.live(); n != 0 {
			t.Errorf("%d records are left", n)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestDeleteBeforeASync deletes values that are committed and not synced. They must
// not come back, neither by a sync that fails nor by a restart.
func TestDeleteBeforeASync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSyncing(t, func() bool { return true })
		c, err := bucket.NewCollector(s.committer.index, s.blobs, mergeIDs, s.opts) // on an index that can delete
		if err != nil {
			t.Fatal(err)
		}
		running, stop := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() { _ = c.Run(running); close(ran) }()
		mustAdd(t, c, "a", 1)
		time.Sleep(2 * time.Second)
		if _, err := c.DeleteTenant(t.Context(), "a", &bucket.DeleteOptions{Wait: -1}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		stop()
		<-ran
		next := s.collector(t, synced(s.committer, never)(s.journal.afterKill(0)))
		if err := next.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantIDs(t, "stored", s.stored(t, "a"), nil, nil)
	})
}

// TestCloseWaitsForASync closes a collector whose store cannot sync.
func TestCloseWaitsForASync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var failing atomic.Bool
		failing.Store(true)
		s := newSyncing(t, failing.Load)
		s.opts.Backoff, s.opts.MaxBackoff = time.Second, time.Second
		c := s.collector(t, s.opts)
		mustAdd(t, c, "a", 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := c.Close(ctx)
		if u, ok := errors.AsType[*bucket.UndeliveredError](err); !ok || len(u.Values) != 1 || !errors.Is(u.Values[0].Err, errBroken) {
			t.Errorf("got error %v, want one value that could not be synced", err)
		}
		failing.Store(false)
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.committer.lose("a")
		wantIDs(t, "stored", s.stored(t, "a"), nil, ids{1})
	})
}

// TestAStoredThatHangs has Stored hang for three tenants' values after a sync. The values of other tenants are finished, also after
// later syncs. A flush ends with its context, and hardly syncs while it waits.
func TestAStoredThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var syncs, finished atomic.Int64
		s := newSyncing(t, func() bool { syncs.Add(1); return false })
		resume := make(chan struct{})
		s.opts.SyncEvery, s.opts.Backoff, s.opts.MaxBackoff = time.Second, 100*time.Millisecond, time.Second
		s.opts.Stored = func(tenant string, _ index.Entry, _ int) {
			if strings.HasPrefix(tenant, "hangs") {
				<-resume
			}
			finished.Add(1)
		}
		c := s.run(t)
		for round := range int64(3) {
			for n := range 3 {
				mustAdd(t, c, fmt.Sprint("hangs", n), int(100*round))
			}
			for n := range 8 {
				mustAdd(t, c, fmt.Sprint("t", n), int(100*round)+n)
			}
			if time.Sleep(10 * time.Second); finished.Load() != 8*(round+1) {
				t.Errorf("%d values of other tenants are finished, want %d", finished.Load(), 8*(round+1))
			}
		}
		before, begun := syncs.Load(), time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := c.Flush(ctx)
		if u, ok := errors.AsType[*bucket.UndeliveredError](err); !ok || len(u.Values) != 9 {
			t.Errorf("got error %v, want nine values", err)
		}
		if took := time.Since(begun); took > 13*time.Second {
			t.Errorf("a flush with a context of 10 s took %v", took)
		}
		if n := syncs.Load() - before; n > 2 {
			t.Errorf("%d syncs while there was nothing to sync", n)
		}
		close(resume)
		closeSoon(t, c)
		wantIDs(t, "stored", s.stored(t, "hangs0"), nil, ids{0, 100, 200})
	})
}

func TestSyncNeedsCommitterAndJournal(t *testing.T) {
	t.Parallel()
	sync := func(context.Context) error { return nil }
	s := newStores(t)
	for name, o := range map[string]*bucket.CollectorOptions[ids]{
		"no journal":       {Sync: sync, Committer: &committer{}},
		"no committer":     {Sync: sync, Journal: newMemJournal()},
		"a negative time":  {SyncEvery: -1},
		"a negative limit": {SyncBytes: -1},
	} {
		if _, err := bucket.NewCollector(s.index, s.blobs, mergeIDs, o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
