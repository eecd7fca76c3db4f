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
	"github.com/timeblob/timeblob/internal/logtest"
	"github.com/timeblob/timeblob/journal"
	"github.com/timeblob/timeblob/tiered"
)

// lateIndex fails the first put of an entry, which lands when land is called.
type lateIndex struct {
	*index.MemIndex
	land func()
	puts int
}

func (x *lateIndex) Put(ctx context.Context, row index.Row, e index.Entry) error {
	if x.puts++; x.puts > 1 {
		return x.MemIndex.Put(ctx, row, e)
	}
	x.land = func() { _ = x.MemIndex.Put(context.Background(), row, e) }
	return errBroken
}

// TestALatePutOfALargerBlob kills a collector whose put of an entry seemed to fail. The next one has a store that takes smaller blobs only.
// The put lands while it waits, or never: then the value is stored in parts.
func TestALatePutOfALargerBlob(t *testing.T) {
	t.Parallel()
	for _, lands := range []bool{true, false} {
		t.Run(fmt.Sprint("lands ", lands), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { shrink(t, lands) })
		})
	}
}

func shrink(t *testing.T, lands bool) {
	store, idx, j := &limited{limit: 1 << 30}, &lateIndex{MemIndex: index.NewMemIndex()}, newMemJournal()
	blobs, err := tiered.New(textCodec{}, store, nil)
	if err != nil {
		t.Fatal(err)
	}
	collector := func(j bucket.Journal) *bucket.Collector[string] {
		c, err := bucket.NewCollector(idx, blobs, mergeTexts, &bucket.CollectorOptions[string]{Journal: j, Backoff: time.Minute, MaxBackoff: time.Minute,
			Failed: func(_ string, v string, err error) { t.Errorf("%q is lost: %v", v, err) }})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := collector(j)
	for _, v := range []string{"first", "second"} {
		if err := c.Add(t.Context(), "a", v, nil); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := c.Flush(ctx); err == nil || idx.puts != 1 {
		t.Fatalf("%d puts, error %v", idx.puts, err)
	}
	store.limit = 8
	next := collector(j.afterKill(0))
	want := 2
	if lands {
		time.AfterFunc(time.Minute, idx.land)
		want = 1
	}
	if err := next.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	idx.land()
	a, err := next.Past().Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), nil)
	if err != nil || len(a.Value) != len("firstsecond") || a.Entries != want {
		t.Errorf("stored %q in %d entries, %v", a.Value, a.Entries, err)
	}
}

// underwayError is what a commit returns that ends when over is true.
type underwayError struct {
	error
	over *atomic.Bool
}

func (e underwayError) Underway() bool { return !e.over.Load() }

// TestACommitThatIsUnderWayForLong has a commit outlive its attempt, and the linger. Meanwhile a record of the value is lost. The others are
// not stored again before the commit has ended.
func TestACommitThatIsUnderWayForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		co, over, told := &committer{index: index.NewMemIndex()}, new(atomic.Bool), &losses{}
		co.fault = func(call int) (f faulttest.Fault) {
			if call == 1 {
				f.Err = underwayError{errBroken, over}
			}
			return f
		}
		opts := journaled(&damagedJournal{newMemJournal(), 1, &journal.CorruptError{ID: 1}})
		opts.Committer, opts.Failed, opts.Backoff, opts.MaxBackoff = co, told.failed(t), time.Minute, time.Minute
		opts.Tick, opts.Window = time.Second, 2*time.Second
		c := co.stores(t).collector(t, opts)
		go func() { _ = c.Run(context.Background()) }()
		mustAdd(t, c, "a", 1, 2)
		time.Sleep(time.Hour)
		if co.calls != 1 || len(told.errs) > 0 {
			t.Errorf("%d commits, told %v", co.calls, told.errs)
		}
		over.Store(true)
		closeSoon(t, c)
		told.want(t, nil, "record 1")
		v, err := c.Range(t.Context(), "a", time.Now().Add(-2*time.Hour), time.Now().Add(time.Hour), nil)
		wantIDs(t, "stored", v, err, ids{2})
	})
}

// TestAValueThatWaitsHoldsNoOtherUp has another writer take the instant of a value whose commit failed. It is told once that the value waits,
// and the tenant's next value is stored at once. A collector without a journal does not wait when it is closed, and tells that.
func TestAValueThatWaitsHoldsNoOtherUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		co, lines, at := &committer{index: index.NewMemIndex()}, &logtest.Journal{}, &bucket.AddOptions{At: time.Now().Add(-time.Hour)}
		co.fault = func(call int) (f faulttest.Fault) {
			if call == 1 {
				f.Err = errBroken
			}
			return f
		}
		s, opts := co.stores(t), fast()
		opts.Committer, opts.Logger, opts.Tick, opts.Window, opts.Backoff, opts.MaxBackoff = co, lines.Logger(), time.Second, time.Second, time.Minute, time.Minute
		c, other := s.collector(t, opts), s.collector(t, opts)
		ran := make(chan error, 1)
		go func() { ran <- c.Run(t.Context()) }()
		for i, c := range []*bucket.Collector[ids]{c, other} {
			if err := c.Add(t.Context(), "a", ids{i}, at); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
		}
		closeSoon(t, other)
		time.Sleep(2 * time.Minute)
		mustAdd(t, c, "a", 2)
		time.Sleep(5 * time.Second)
		if n := c.Stats().Values; n != 1 {
			t.Errorf("%d values wait, want the first alone", n)
		}
		if waits, failed := lines.Lines("a value waits"), lines.Lines("flush failed"); waits != 1 || failed != 1 {
			t.Errorf("told of %d waits and %d failures", waits, failed)
		}
		begun := time.Now()
		closeSoon(t, c)
		if took := time.Since(begun); took > time.Second || lines.Lines("may be stored twice") != 1 {
			t.Errorf("closed after %v, told %d times", took, lines.Lines("may be stored twice"))
		}
		v, err := c.Range(t.Context(), "a", begun.Add(-2*time.Hour), begun.Add(time.Hour), nil)
		wantIDs(t, "stored", v, err, ids{0, 1, 2})
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

// TestTheIDOfADeletedValueIsKnownAfterARestart deletes a value that is in the open tick and repeats it after a restart. It is not taken
// again.
func TestTheIDOfADeletedValueIsKnownAfterARestart(t *testing.T) {
	t.Parallel()
	s, j := newTextStores(t, new(tiered.MemTier)), newMemJournal()
	id, past, future := &bucket.AddOptions{ID: "1"}, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	c := s.collector(t, j)
	if err := c.Add(t.Context(), "a", "v", id); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Delete(t.Context(), "a", past, future, &bucket.DeleteOptions{Wait: -1}); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := s.collector(t, j.afterKill(0))
	if err := next.Add(t.Context(), "a", "v", id); err != nil {
		t.Fatal(err)
	}
	if err := next.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	q, err := bucket.NewQuantizer(s.index, s.blobs, mergeTexts, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := q.Range(t.Context(), "a", past, future, nil); err != nil || a.Entries != 0 {
		t.Errorf("%d entries are stored, of a value that was deleted: %v", a.Entries, err)
	}
}

// TestTheIDOfAValueThatWasGivenUpIsKnownAfterARestart adds a value that cannot be encoded, and repeats it after a restart. Failed is told once.
func TestTheIDOfAValueThatWasGivenUpIsKnownAfterARestart(t *testing.T) {
	t.Parallel()
	blobs, err := tiered.New(textCodec{}, &limited{limit: 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	j, failed := newMemJournal(), 0
	for range 2 {
		c, err := bucket.NewCollector(index.NewMemIndex(), blobs, mergeTexts, &bucket.CollectorOptions[string]{Journal: j, MaxBlob: 100,
			Failed: func(string, string, error) { failed++ }})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.Add(t.Context(), "a", strings.Repeat("x", 50), &bucket.AddOptions{ID: "1"}), c.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		j = j.afterKill(0)
	}
	if failed != 1 {
		t.Errorf("told %d times", failed)
	}
}
