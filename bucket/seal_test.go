package bucket_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
)

// TestAnswerFromAnIndexSlowerThanATick asks while a value arrives in every
// tick and each look into the index outlasts one: the answer must come after
// the first look, not when values cease.
func TestAnswerFromAnIndexSlowerThanATick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores(t)
		s.index.Decide(func(call faulttest.Call) faulttest.Fault {
			if call.Op == faulttest.Query {
				return faulttest.Fault{Delay: 7 * time.Second}
			}
			return faulttest.Fault{}
		})
		c := s.collector(t, nil)
		r := start(t, c)
		adding, stop := context.WithCancel(t.Context())
		var adder sync.WaitGroup
		adder.Go(func() {
			for i := 1; adding.Err() == nil; i++ {
				mustAdd(t, c, "a", i)
				time.Sleep(time.Second)
			}
		})
		time.Sleep(time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		v, err := c.Range(ctx, "a", begun.Add(-time.Hour), begun.Add(time.Hour), nil)
		if err != nil || len(v.Value) == 0 || v.Value[0] != 1 || time.Since(begun) > 8*time.Second {
			t.Errorf("got %v, error %v after %v", v, err, time.Since(begun))
		}
		stop()
		adder.Wait()
		r.end(t)
	})
}

// TestThePastDoesNotChangeWhileATickIsSealed asks about a time that is over,
// just as the collector looks at its clock to end a tick.
func TestThePastDoesNotChangeWhileATickIsSealed(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	from := time.Unix(1_700_000_000, 0)
	var mu sync.Mutex
	now, sealing := from, func() {}
	opts := fast()
	opts.Now = func() time.Time {
		mu.Lock()
		read, hook := now, sealing
		sealing = func() {}
		mu.Unlock()
		hook()
		return read
	}
	c := s.collector(t, opts)
	mustAdd(t, c, "a", 1)
	to := from.Add(time.Microsecond)
	meanwhile := make(chan bucket.Answer[ids])
	sealing = func() {
		mu.Lock()
		now = from.Add(time.Second)
		mu.Unlock()
		defer time.Sleep(5 * time.Millisecond) // time for an answer that does not wait for the seal
		go func() {
			v, err := c.Range(t.Context(), "a", from, to, nil)
			if err != nil {
				t.Error(err)
			}
			meanwhile <- v
		}()
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, err := c.Range(t.Context(), "a", from, to, nil)
	if before := <-meanwhile; before.Provisional.IsZero() {
		wantIDs(t, "after the flush", v, err, before.Value)
	} else if before.Provisional.After(from) {
		t.Errorf("provisional from %v, though the value came at %v", before.Provisional, from)
	}
}

// TestAliveAfterAClockWentBack seals before the instant the collector began
// at: what it has in memory must not be read from the store as well.
func TestAliveAfterAClockWentBack(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	now := time.Unix(1_700_000_000, 0)
	c := s.collector(t, &bucket.CollectorOptions[ids]{Alone: true, Now: func() time.Time { return now }})
	now = now.Add(-2 * time.Second)
	mustAdd(t, c, "a", 1)
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	now = now.Add(3 * time.Second)
	v, err := c.At(t.Context(), "a", now, nil)
	wantIDs(t, "the live window", v, err, ids{1})
}

// TestAClockThatWasSetBackIsFollowed must not file values under the time
// before, where nobody would find them until it comes again.
func TestAClockThatWasSetBackIsFollowed(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	now := time.Unix(1_700_000_000, 0)
	c := s.collector(t, &bucket.CollectorOptions[ids]{Now: func() time.Time { return now }})
	flush := func(id int) {
		mustAdd(t, c, "a", id)
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	flush(1)
	now = now.Add(-time.Hour)
	flush(2)
	mustAdd(t, c, "a", 3)
	v, err := c.Range(t.Context(), "a", now, now.Add(time.Minute), nil)
	wantIDs(t, "range", v, err, ids{2, 3})
	v, err = c.At(t.Context(), "a", now, nil)
	wantIDs(t, "the live window", v, err, ids{2, 3})
}

// TestLiveWindowIsTime holds however often a tick is ended by hand.
func TestLiveWindowIsTime(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	now := time.Unix(1_700_000_000, 0)
	c := s.collector(t, &bucket.CollectorOptions[ids]{Now: func() time.Time { return now }})
	for i := range 20 {
		now = now.Add(10 * time.Millisecond)
		mustAdd(t, c, "a", i)
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	v, err := c.At(t.Context(), "a", now, nil)
	wantIDs(t, "many ticks in a window", v, err, upTo(20))
	now = now.Add(time.Minute)
	v, err = c.At(t.Context(), "a", now, nil)
	wantIDs(t, "a window after the last tick", v, err, nil)
}

// interrupted is an index that interrupts one query.
type interrupted struct {
	index.Index
	once      sync.Once
	interrupt func()
}

func (x *interrupted) Query(ctx context.Context, row index.Row, from, to int64) ([]index.Entry, error) {
	x.once.Do(x.interrupt)
	return x.Index.Query(ctx, row, from, to)
}

// TestAnswerHoldsWhatIsOlderThanItsYoungest adds two values while a question
// is under way, and the later value reaches the index first.
func TestAnswerHoldsWhatIsOlderThanItsYoungest(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{false, true} {
		s := newStores(t)
		idx := &interrupted{Index: s.index}
		c, err := bucket.NewCollector(idx, s.blobs, mergeIDs, fast())
		if err != nil {
			t.Fatal(err)
		}
		if known {
			mustAdd(t, c, "a", 0)
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		first := ""
		s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken, Match: func(call faulttest.Call) bool {
			if first == "" {
				first = call.Key
			}
			return call.Key == first
		}})
		idx.interrupt = func() {
			for i := range 2 {
				mustAdd(t, c, "a", i+1)
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
				_ = c.Flush(ctx)
				cancel()
			}
		}
		v, err := c.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), nil)
		if !known {
			v.Value = append(ids{0}, v.Value...)
		}
		wantIDs(t, "range", v, err, ids{0, 1, 2})
		s.heal()
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestATenantThatComesBackGivesNoInstantTwice lets a collector forget an idle
// tenant, which then returns before the clock has moved on.
func TestATenantThatComesBackGivesNoInstantTwice(t *testing.T) {
	t.Parallel()
	r := newResting(t, nil)
	flush := func() {
		t.Helper()
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	mustAdd(t, r.Collector, "a", 1)
	r.now = r.now.Add(20 * time.Second) // the tick is over the window's age when it is sealed
	flush()
	flush()
	if left := r.LiveTenants(); len(left) > 0 {
		t.Fatalf("tenants %q are still in memory", left)
	}
	mustAdd(t, r.Collector, "a", 2)
	flush()
	entries, err := r.Entries(t.Context(), "a", r.now.Add(-time.Hour), r.now.Add(time.Hour))
	if err != nil || len(entries) != 2 || entries[0].Time != r.now.UnixNano() || entries[1].Time != r.now.UnixNano()+1 {
		t.Errorf("entries %v, error %v, want two that follow each other", entries, err)
	}
}
