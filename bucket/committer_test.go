package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// committer is an index and an authority with a step for both, which fails as
// fault says.
type committer struct {
	index *index.MemIndex
	tier  tiered.MemTier

	mu    sync.Mutex
	calls int
	fault func(call int) faulttest.Fault
	slow  chan struct{} // when not nil, a commit that has landed waits for it

	unsynced []index.Entry // committed since the last sync
}

func (c *committer) Commit(ctx context.Context, row index.Row, e index.Entry, blob []byte) error {
	c.mu.Lock()
	c.calls++
	fault := faulttest.Fault{}
	if c.fault != nil {
		fault = c.fault(c.calls)
	}
	c.mu.Unlock()
	if fault.Err != nil && !fault.Applied {
		return fault.Err
	}
	if there, err := c.index.Query(ctx, row, e.Time, e.Time+1); err != nil || len(there) > 0 {
		return errors.Join(err, index.ErrExists)
	}
	if err := errors.Join(c.tier.Put(ctx, e.Key, blob), c.index.Put(ctx, row, e)); err != nil {
		return err
	}
	c.mu.Lock()
	c.unsynced = append(c.unsynced, e)
	c.mu.Unlock()
	if c.slow != nil {
		<-c.slow
	}
	return fault.Err
}

// lose takes back what was committed since the last Sync, as a crash does.
func (c *committer) lose(tenants ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.unsynced {
		for _, tenant := range tenants {
			if err := c.index.Delete(context.Background(), index.RowAt(tenant, e.Time), []index.Entry{e}); err != nil {
				panic(err)
			}
		}
		if err := c.tier.Delete(context.Background(), []string{e.Key}); err != nil {
			panic(err)
		}
	}
	c.unsynced = nil
}

// sync keeps what was committed, or fails.
func (c *committer) sync(fail func() bool, tenants ...string) func(context.Context) error {
	return func(context.Context) error {
		if fail() {
			c.lose(tenants...)
			return errBroken
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.unsynced = nil
		return nil
	}
}

func (c *committer) stores(t *testing.T) *stores {
	s := newStores(t)
	s.index, s.tier = faulttest.NewIndex(c.index, 1), faulttest.NewTier(&c.tier, 1)
	s.reopen(t)
	return s
}

func TestCommitThatFailedButLandedIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, landed := range []bool{false, true} {
		t.Run(fmt.Sprint("landed ", landed), func(t *testing.T) {
			t.Parallel()
			com := &committer{index: index.NewMemIndex()}
			com.fault = func(call int) faulttest.Fault {
				if call <= 2 {
					return faulttest.Fault{Err: errBroken, Applied: landed && call == 1}
				}
				return faulttest.Fault{}
			}
			opts := fast()
			opts.Committer = com
			c := com.stores(t).collector(t, opts)
			mustAdd(t, c, "a", 1)
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			entries, err := c.Entries(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
			if err != nil || len(entries) != 1 {
				t.Fatalf("got entries %v, error %v", entries, err)
			}
		})
	}
}

// TestCommitOnATakenInstantMoves lets another writer have the instant first.
func TestCommitOnATakenInstantMoves(t *testing.T) {
	t.Parallel()
	still := time.Unix(1_700_000_000, 0)
	com := &committer{index: index.NewMemIndex()}
	s := com.stores(t)
	for i := range 3 {
		opts := fast()
		opts.Committer, opts.Now = com, func() time.Time { return still }
		c := s.collector(t, opts)
		mustAdd(t, c, "a", i)
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		v, err := c.Range(t.Context(), "a", still, still.Add(time.Second), nil)
		wantIDs(t, "stored", v, err, upTo(i+1))
	}
}

// TestACommitThatFailedMeetsAnothersEntry has another writer take the instant after a commit that failed. Both values are stored, the first
// one when its failed commit cannot land any more: the other entry may be deleted before that.
func TestACommitThatFailedMeetsAnothersEntry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		lands, delete bool
	}{{"nothing lands", false, false}, {"the other is deleted", false, true}, {"the first commit lands", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { meetAnother(t, c.lands, c.delete) })
		})
	}
}

func meetAnother(t *testing.T, lands, deletes bool) {
	still := time.Now()
	co := &latecomer{committer: &committer{index: index.NewMemIndex()}}
	s := co.stores(t)
	var writers []*bucket.Collector[ids]
	for i := range 2 {
		opts := fast()
		opts.Committer, opts.Now, opts.Backoff, opts.MaxBackoff = co, func() time.Time { return still }, time.Second, time.Second
		c := s.collector(t, opts)
		mustAdd(t, c, "a", i)
		writers = append(writers, c)
	}
	flush := func(i int) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return writers[i].Flush(ctx)
	}
	first := make(chan error, 1)
	go func() { first <- writers[0].Flush(t.Context()) }()
	time.Sleep(time.Nanosecond)
	if err := flush(1); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
	want := ids{0, 1}
	if deletes {
		want = ids{0}
		d, err := bucket.NewDeleter(co.index, &co.tier)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Delete(t.Context(), "a", still, still.Add(1), nil); err != nil {
			t.Fatal(err)
		}
	}
	if lands {
		co.land(0)
	}
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if !lands {
		co.land(0)
	}
	v, err := writers[0].Range(t.Context(), "a", still, still.Add(time.Second), nil)
	wantIDs(t, "stored", v, err, want)
	for _, w := range writers {
		closeSoon(t, w)
	}
}

// TestACommitThatOftenFailsMeetsAnothersEntry has another writer's entry stay where a value was to be, in a store that fails every other
// commit. The value gets another instant all the same.
func TestACommitThatOftenFailsMeetsAnothersEntry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		still, co := time.Now(), &committer{index: index.NewMemIndex()}
		co.fault = func(call int) (f faulttest.Fault) {
			if call > 1 && call%2 == 0 {
				f.Err = errBroken
			}
			return f
		}
		s, opts := co.stores(t), fast()
		opts.Committer, opts.Now, opts.MaxBackoff = co, func() time.Time { return still }, time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for i := range 2 {
			c := s.collector(t, opts)
			mustAdd(t, c, "a", i)
			if err := c.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if n := co.calls; n > 6 {
			t.Errorf("%d commits", n)
		}
	})
}

// TestAnswerWhileACommitIsUnderWay asks when the entry can be found and the commit has not
// returned.
func TestAnswerWhileACommitIsUnderWay(t *testing.T) {
	t.Parallel()
	com := &committer{index: index.NewMemIndex(), slow: make(chan struct{})}
	opts := fast()
	opts.Committer = com
	c := com.stores(t).collector(t, opts)
	mustAdd(t, c, "a", 1)
	begun := time.Now()
	flushed := make(chan error)
	go func() { flushed <- c.Flush(t.Context()) }()
	for {
		entries, err := c.Entries(t.Context(), "a", begun, time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 1 {
			break
		}
	}
	v, err := c.Range(t.Context(), "a", begun, time.Now().Add(time.Hour), nil)
	wantIDs(t, "range", v, err, ids{1})
	close(com.slow)
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
}

// latecomer is a committer whose first commit seems to fail, and lands when land is called. With twice it lands at once, too, and its
// entry goes when the second commit has been told that the instant is taken, as by a sync that fails then.
type latecomer struct {
	*committer
	twice bool
	fails int // so many commits

	guard sync.Mutex // guards what follows
	first func()
	seen  int       // commits
	begun time.Time // the first of them
}

func (l *latecomer) Commit(ctx context.Context, row index.Row, e index.Entry, blob []byte) error {
	l.guard.Lock()
	defer l.guard.Unlock()
	if l.seen++; l.seen == 1 {
		l.begun = time.Now()
		l.first = func() { _ = l.committer.Commit(context.Background(), row, e, blob) }
		if l.twice {
			l.first()
		}
		return errBroken
	}
	if l.seen <= l.fails {
		return errBroken
	}
	err := l.committer.Commit(ctx, row, e, blob)
	if l.twice && l.seen == 2 {
		l.lose(row.Tenant)
	}
	return err
}

// commits returns how many commits there were.
func (l *latecomer) commits() int {
	l.guard.Lock()
	defer l.guard.Unlock()
	return l.seen
}

// land has the first commit land, if there was one so long ago.
func (l *latecomer) land(after time.Duration) {
	l.guard.Lock()
	defer l.guard.Unlock()
	if l.first != nil && time.Since(l.begun) > after {
		l.first()
	}
}

// TestACommitThatIsLostAndLandsLate lets a commit land whose entry had gone, before or after the value is committed again. The value
// is stored once, and each answer holds it once.
func TestACommitThatIsLostAndLandsLate(t *testing.T) {
	t.Parallel()
	for _, before := range []bool{true, false} {
		t.Run(fmt.Sprint("before ", before), func(t *testing.T) {
			t.Parallel()
			co := &latecomer{committer: &committer{index: index.NewMemIndex()}, twice: true}
			opts := fast()
			opts.Committer, opts.Backoff, opts.MaxBackoff = co, time.Hour, time.Hour
			c := co.stores(t).collector(t, opts)
			want := func(when string) {
				a, err := c.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), nil)
				wantIDs(t, when, a, err, ids{1})
			}
			mustAdd(t, c, "a", 1)
			for co.commits() < 2 {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				_ = c.Flush(ctx)
			}
			want("lost")
			if before {
				co.land(0)
				want("landed")
			}
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			co.land(0)
			want("stored")
			entries, err := c.Entries(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
			if err != nil || len(entries) != 1 {
				t.Errorf("got entries %v, error %v", entries, err)
			}
		})
	}
}

// stuck is a committer that calls an instant taken and has no entry there, as after a repair that lost the entry and kept its blob.
type stuck struct {
	*committer
	at int64
}

func (s *stuck) Commit(ctx context.Context, row index.Row, e index.Entry, blob []byte) error {
	switch {
	case s.at == 0:
		s.at = e.Time
		return errBroken
	case s.at == e.Time:
		return index.ErrExists
	}
	return s.committer.Commit(ctx, row, e, blob)
}

// TestAnInstantThatNobodyHas waits as long as an attempt may land late, and then takes another instant.
func TestAnInstantThatNobodyHas(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		levels *bucket.LevelOptions
		want   time.Duration
	}{
		"no levels":       {nil, 5 * time.Minute},
		"levels":          {&bucket.LevelOptions{Linger: 2 * time.Minute}, 2 * time.Minute},
		"default levels":  {&bucket.LevelOptions{}, 5 * time.Minute},
		"an owned store":  {&bucket.LevelOptions{Owned: true}, 7 * time.Second}, // the deadline
		"a short linger":  {&bucket.LevelOptions{Linger: time.Second}, 7 * time.Second},
		"an owned linger": {&bucket.LevelOptions{Owned: true, Linger: time.Minute}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				co := &stuck{committer: &committer{index: index.NewMemIndex()}}
				opts := fast()
				opts.Committer, opts.MaxBackoff, opts.Deadline, opts.Past.Levels = co, time.Second, 7*time.Second, c.levels
				want := c.want
				c, err := bucket.NewCollector(co.index, co.stores(t).blobs, mergeIDs, opts)
				if err != nil {
					t.Fatal(err)
				}
				defer closeSoon(t, c)
				mustAdd(t, c, "a", 1)
				begun := time.Now()
				if err := c.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begun); took < want || took > want+5*time.Second {
					t.Errorf("stored after %v, want %v", took, want)
				}
				a, err := c.Range(t.Context(), "a", begun.Add(-time.Hour), begun.Add(time.Hour), nil)
				wantIDs(t, "stored", a, err, ids{1})
			})
		})
	}
}
