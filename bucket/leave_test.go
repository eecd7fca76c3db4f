package bucket_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// hookedJournal calls a function before one of its reads.
type hookedJournal struct {
	*memJournal
	at   int64 // the number of that read, from 1
	n    atomic.Int64
	then func()
}

func (j *hookedJournal) Read(id uint64) (kind byte, meta, blob []byte, err error) {
	if j.n.Add(1) == j.at {
		j.then()
	}
	return j.memJournal.Read(id)
}

// TestATickIsDeletedWhileItIsSplit has a tick that is too large for a blob be deleted while the journal reads it, to split it. The
// journal is told that its records are done, so that no later process stores the tick.
func TestATickIsDeletedWhileItIsSplit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idx := index.NewMemIndex()
		blobs, err := tiered.New(idCodec{}, &limited{limit: len("[1001]")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		collector := func(j bucket.Journal) *bucket.Collector[ids] {
			c, err := bucket.NewCollector(idx, blobs, mergeIDs, journaled(j))
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		j := newMemJournal()
		mustAdd(t, collector(j), "a", 1001, 1002)
		from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		hooked := &hookedJournal{memJournal: j.afterKill(0), at: 3} // two reads are for the encoding
		c, deleted := collector(hooked), make(chan error, 1)
		hooked.then = func() {
			go func() {
				_, err := c.Delete(t.Context(), "a", from, to, now)
				deleted <- err
			}()
			synctest.Wait()
		}
		closeSoon(t, c)
		if err := <-deleted; err != nil {
			t.Fatal(err)
		}
		if n := hooked.live(); n != 0 {
			t.Errorf("%d records are left in the journal", n)
		}
		next := collector(hooked.afterKill(0))
		closeSoon(t, next)
		a, err := next.Range(t.Context(), "a", from, to, nil)
		wantIDs(t, "deleted", a, err, nil)
	})
}

// slowCommitter lets the commits of one tenant wait when they have landed.
type slowCommitter struct {
	*committer
	tenant string
	wait   chan struct{}
}

func (c slowCommitter) Commit(ctx context.Context, row index.Row, e index.Entry, blob []byte) error {
	err := c.committer.Commit(ctx, row, e, blob)
	if row.Tenant == c.tenant {
		<-c.wait
	}
	return err
}

// TestACommitBeforeAFailedSyncRests has a sync fail while a commit is under way, and take the commit back. The value rests in the
// journal before it is committed again, with its blob.
func TestACommitBeforeAFailedSyncRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		co, syncs := &committer{index: index.NewMemIndex()}, atomic.Int64{}
		s := co.stores(t)
		opts := synced(co, func() bool { return syncs.Add(1) == 1 }, "a", "b")(newMemJournal())
		opts.Tick, opts.Window, opts.Backoff, opts.MaxBackoff = time.Second, 5*time.Second, time.Minute, time.Minute
		slow := slowCommitter{co, "b", make(chan struct{})}
		opts.Committer = slow
		c := s.collector(t, opts)
		go func() { _ = c.Run(context.Background()) }()
		past := time.Now().Add(-time.Hour)
		mustAddAt(t, c, "a", past, 1)
		mustAddAt(t, c, "b", past, 2)
		time.Sleep(2 * time.Second)
		if n := syncs.Load(); n != 1 {
			t.Fatalf("%d syncs", n)
		}
		close(slow.wait)
		time.Sleep(5 * time.Minute)
		closeSoon(t, c)
		wantIDs(t, "a", s.stored(t, "a"), nil, ids{1})
		wantIDs(t, "b", s.stored(t, "b"), nil, ids{2})
	})
}
