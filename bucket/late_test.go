package bucket_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	rec "github.com/timeblob/timeblob/bucket/internal/record"
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

// countingJournal counts reads of the record that it has lost.
type countingJournal struct {
	damagedJournal
	reads atomic.Int64
}

func (j *countingJournal) Read(id uint64) (kind byte, meta, blob []byte, err error) {
	if id == j.id {
		j.reads.Add(1)
	}
	return j.damagedJournal.Read(id)
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
		lost := &countingJournal{damagedJournal: damagedJournal{newMemJournal(), 1, &journal.CorruptError{ID: 1}}}
		opts := journaled(lost)
		opts.Committer, opts.Failed, opts.Backoff, opts.MaxBackoff = co, told.failed(t), 20*time.Second, 2*time.Minute
		opts.Tick, opts.Window = time.Second, 2*time.Second
		c := co.stores(t).collector(t, opts)
		go func() { _ = c.Run(context.Background()) }()
		mustAdd(t, c, "a", 1, 2)
		time.Sleep(time.Hour)
		if co.calls != 1 || len(told.errs) > 0 {
			t.Errorf("%d commits, told %v", co.calls, told.errs)
		}
		if n := lost.reads.Load(); n > 120 {
			t.Errorf("%d attempts in an hour", n)
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
		if s := c.Stats(); s.Values != 1 || s.OldestSealed > time.Minute {
			t.Errorf("%d values wait, want the first alone; the oldest for %v, want none", s.Values, s.OldestSealed)
		}
		if waits, failed := lines.Lines("a value waits"), lines.Lines("flush failed"); waits != 1 || failed != 1 {
			t.Errorf("told of %d waits and %d failures", waits, failed)
		}
		begun := time.Now()
		closeSoon(t, c)
		if took := time.Since(begun); took > time.Second || lines.Lines("cannot wait for an earlier attempt") != 1 {
			t.Errorf("closed after %v, told %d times", took, lines.Lines("cannot wait for an earlier attempt"))
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

// TestTheIDOfAValueThatWasGivenUpIsKnownAfterARestart kills a collector that holds a value. The next one takes smaller blobs only, and gives the
// value up. It is not taken again by the one after that.
func TestTheIDOfAValueThatWasGivenUpIsKnownAfterARestart(t *testing.T) {
	t.Parallel()
	blobs, err := tiered.New(textCodec{}, new(tiered.MemTier), nil)
	if err != nil {
		t.Fatal(err)
	}
	j, failed, idx := newMemJournal(), 0, index.NewMemIndex()
	collector := func(maxBlob int64) *bucket.Collector[string] {
		c, err := bucket.NewCollector(idx, blobs, mergeTexts, &bucket.CollectorOptions[string]{Journal: j, MaxBlob: maxBlob,
			Failed: func(string, string, error) { failed++ }})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	add := func(c *bucket.Collector[string]) {
		if err := c.Add(t.Context(), "a", strings.Repeat("x", 50), &bucket.AddOptions{ID: "1"}); err != nil {
			t.Fatal(err)
		}
	}
	add(collector(100))
	j = j.afterKill(0)
	if err := collector(10).Close(t.Context()); err != nil || failed != 1 {
		t.Fatalf("told %d times, %v", failed, err)
	}
	j = j.afterKill(0)
	last := collector(100)
	add(last)
	if err := last.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	row := index.RowAt("a", time.Now().UnixNano())
	if entries, err := idx.Query(t.Context(), row, row.Start(), row.End()); err != nil || len(entries) > 0 {
		t.Errorf("stored %v, %v", entries, err)
	}
}

// halfStored returns a journal with the texts 1 to 4 of tenant a, as a kill leaves it after they were sealed at the instant at, and some of them
// again, as half of the whole.
func halfStored(t *testing.T, at int64, half []uint64) *memJournal {
	t.Helper()
	j := newMemJournal()
	add := func(kind byte, meta, blob []byte) {
		if _, err := j.Append(t.Context(), kind, meta, blob); err != nil {
			t.Fatal(err)
		}
	}
	a := rec.Arrived{Tenant: "a", Time: at}
	for _, text := range []string{"1", "2", "3", "4"} {
		add(rec.KindArrived, a.Encode(), []byte(text))
	}
	whole := rec.Sealed{Tenant: "a", Time: at, Key: index.RowAt("a", at).FreshBlobKey(at, "whole"), Members: []uint64{1, 2, 3, 4}}
	add(rec.KindSealed, whole.Encode(), nil)
	if len(half) > 0 {
		s := rec.Sealed{Tenant: "a", Time: at + int64(half[0]) - 1, Key: index.RowAt("a", at).FreshBlobKey(at, "half"), Members: half}
		add(rec.KindSealed, s.Encode(), nil)
	}
	return j
}

// slowHalf is an index in which the put of halfStored's half takes a second.
type slowHalf struct{ *index.MemIndex }

func (x slowHalf) Put(ctx context.Context, row index.Row, e index.Entry) error {
	if strings.HasSuffix(e.Key, "half") {
		time.Sleep(time.Second)
	}
	return x.MemIndex.Put(ctx, row, e)
}

// TestPartsDoNotMeet kills a collector that splits a value of four in halves. One of them has a sealed record. The other half is stored at an
// instant of its own and does not wait, also when it is split again because a record of it is lost.
func TestPartsDoNotMeet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		half []uint64 // that has a sealed record
		lost uint64
		want string
	}{
		"the second half":        {[]uint64{1, 2}, 0, "1234"},
		"a record of it is lost": {[]uint64{1, 2}, 4, "123"},
		"the first half":         {[]uint64{3, 4}, 0, "1234"},
		"a record there is lost": {[]uint64{3, 4}, 1, "234"},
		"neither half has one":   {nil, 0, "1234"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				at := time.Now().UnixNano()
				j := halfStored(t, at, c.half)
				s := newTextStores(t, new(tiered.MemTier))
				col, err := bucket.NewCollector(slowHalf{s.index}, s.blobs, mergeTexts, &bucket.CollectorOptions[string]{
					Journal: damagedJournal{j, c.lost, &journal.CorruptError{ID: c.lost}}})
				if err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				if err := col.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begun); took > 10*time.Second {
					t.Errorf("stored after %v", took)
				}
				a, err := col.Past().Range(t.Context(), "a", begun.Add(-time.Hour), begun.Add(time.Hour), nil)
				got := []byte(a.Value)
				slices.Sort(got)
				if err != nil || string(got) != c.want {
					t.Errorf("stored %q, %v", got, err)
				}
			})
		})
	}
}
