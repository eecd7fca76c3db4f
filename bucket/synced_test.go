package bucket_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
)

// prior is a committer before whose commits something happens.
type prior struct {
	*committer
	before func(ctx context.Context, tenant string) error
}

func (c *prior) Commit(ctx context.Context, row index.Row, e index.Entry, blob []byte) error {
	if err := c.before(ctx, row.Tenant); err != nil {
		return err
	}
	return c.committer.Commit(ctx, row, e, blob)
}

// TestDeletedBeforeASync deletes values that are committed before they are synced. Nothing of them is left when the collector is closed.
func TestDeletedBeforeASync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSyncing(t, never)
		s.opts.Tick, s.opts.Window = time.Minute, 5*time.Minute
		c, err := bucket.NewCollector(s.committer.index, s.blobs, mergeIDs, s.opts) // which deletes
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = c.Run(context.Background()) }()
		at := time.Now()
		time.Sleep(30 * time.Second)
		for i := range 21 { // the first one is kept
			mustAddAt(t, c, "a", at.Add(time.Duration(i)*time.Second), i)
		}
		time.Sleep(5 * time.Second) // they are committed
		if _, err := c.Delete(t.Context(), "a", at.Add(time.Second), time.Now(), now); err != nil {
			t.Fatal(err)
		}
		closeSoon(t, c)
		wantIDs(t, "stored", s.stored(t, "a"), nil, ids{0})
	})
}

// TestAStoredThatHangsForMany has Stored hang for each value of 64 tenants. Another tenant's values are finished with the next sync.
func TestAStoredThatHangsForMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSyncing(t, never)
		s.opts.SyncEvery, s.opts.Backoff, s.opts.MaxBackoff = 10*time.Second, 100*time.Millisecond, time.Second
		s.opts.Committer = &prior{s.committer, func(context.Context, string) error { time.Sleep(20 * time.Millisecond); return nil }}
		resume := make(chan struct{})
		var latest atomic.Int64 // of the tenant whose Stored returns, in the last minute
		begun := time.Now()
		s.opts.Stored = func(tenant string, e index.Entry, _ int) {
			if strings.HasPrefix(tenant, "hangs") {
				<-resume
			} else if time.Since(begun) > 2*time.Minute {
				latest.Store(max(latest.Load(), int64(time.Since(time.Unix(0, e.Time)))))
			}
		}
		c := s.run(t)
		for i := range 180 {
			for n := range 64 {
				mustAdd(t, c, fmt.Sprint("hangs", n), i)
			}
			mustAdd(t, c, "good", i)
			time.Sleep(time.Second)
		}
		if took := time.Duration(latest.Load()); took == 0 || took > s.opts.SyncEvery+time.Second {
			t.Errorf("a value was finished %v after its tick", took)
		}
		close(resume)
		closeSoon(t, c)
	})
}

// TestSyncedValuesPassACommitThatHangs lets commits of a tenant hang. Its values that were synced are finished.
func TestSyncedValuesPassACommitThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSyncing(t, never)
		s.opts.Tick, s.opts.Window = time.Minute, 5*time.Minute
		s.opts.Backoff, s.opts.MaxBackoff = 100*time.Millisecond, time.Second
		var hangs atomic.Bool
		s.opts.Committer = &prior{s.committer, func(ctx context.Context, _ string) error {
			if hangs.Load() {
				<-ctx.Done()
			}
			return ctx.Err()
		}}
		var stored atomic.Int64
		s.opts.Stored = func(string, index.Entry, int) { stored.Add(1) }
		c, at := s.run(t), time.Now()
		time.Sleep(30 * time.Second)
		for i := range 10 {
			mustAddAt(t, c, "a", at.Add(time.Duration(i)*time.Second), i)
		}
		time.Sleep(5 * time.Second) // they are committed
		hangs.Store(true)
		mustAddAt(t, c, "a", at.Add(20*time.Second), 20)
		if time.Sleep(10 * time.Minute); stored.Load() != 10 {
			t.Errorf("%d of 10 values are finished", stored.Load())
		}
		hangs.Store(false)
		closeSoon(t, c)
	})
}

// TestASyncFailsWhileAMergeHangs has a sync fail while a tenant's merge hangs and one of its commits is being noted. Later syncs go on.
func TestASyncFailsWhileAMergeHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var syncs, failures, stored atomic.Int64
		s := newSyncing(t, never)
		s.opts.Sync = s.committer.sync(func() bool {
			syncs.Add(1)
			return failures.Add(-1) >= 0
		}, "good", "hangs")
		s.opts.SyncEvery, s.opts.Tick, s.opts.Window = 20*time.Second, 20*time.Second, time.Minute
		s.opts.Backoff, s.opts.MaxBackoff = 100*time.Millisecond, time.Second
		s.opts.Committer = &prior{s.committer, func(_ context.Context, tenant string) error {
			if tenant == "hangs" {
				time.Sleep(5 * time.Second)
			}
			return nil
		}}
		s.opts.Stored = func(string, index.Entry, int) { stored.Add(1) }
		h := &hanging{released: make(chan struct{})}
		c, err := bucket.NewCollector(s.index, s.blobs, h.merge, s.opts)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = c.Run(context.Background()) }()
		mustAdd(t, c, "hangs", 1)
		time.Sleep(21 * time.Second) // its commit is under way
		mustAdd(t, c, "hangs", -2)
		go func() { _ = c.Add(context.Background(), "hangs", ids{-3}, nil) }()
		time.Sleep(6 * time.Second) // it is committed, and that waits for the tenant
		mustAdd(t, c, "good", 1)
		failures.Store(1)
		time.Sleep(30 * time.Second)
		before := syncs.Load()
		for i := range 20 {
			mustAdd(t, c, "good", 10+i)
			time.Sleep(30 * time.Second)
		}
		if n := syncs.Load() - before; failures.Load() >= 0 || n < 10 || stored.Load() < 19 {
			t.Errorf("%d syncs in ten minutes, %d values are finished", n, stored.Load())
		}
		close(h.released)
		closeSoon(t, c)
	})
}
