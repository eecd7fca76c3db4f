package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
)

func (s *stores) querier(t testing.TB) *bucket.Querier[ids] {
	t.Helper()
	q, err := bucket.NewQuerier(s.index, s.blobs, mergeIDs, nil)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// hooked is a source that calls before and after around each question.
type hooked struct {
	bucket.Source[ids]
	asked         atomic.Int64
	before, after func(n int64) error // n counts from 1; nil for nothing
}

func (h *hooked) Held(ctx context.Context, tenant string, from, to time.Time) (bucket.Held[ids], error) {
	n := h.asked.Add(1)
	if h.before != nil {
		if err := h.before(n); err != nil {
			return bucket.Held[ids]{}, err
		}
	}
	held, err := h.Source.Held(ctx, tenant, from, to)
	if err == nil && h.after != nil {
		err = h.after(n)
	}
	return held, err
}

// always is a range around all that tests do.
func always() (from, to time.Time) {
	now := time.Now()
	return now.Add(-1000 * time.Hour), now.Add(1000 * time.Hour)
}

func ask(t *testing.T, q *bucket.Querier[ids], sources ...bucket.Source[ids]) bucket.Answer[ids] {
	t.Helper()
	from, to := always()
	a, err := q.Range(t.Context(), "a", from, to, sources, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestQuerierAnswersHoldEveryValueOnce asks without pause while values arrive
// at three collectors of one store, are sealed, flushed, and fail to be.
func TestQuerierAnswersHoldEveryValueOnce(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	s.flaky()
	var p poll
	var adders, askers sync.WaitGroup
	for w := range p.added {
		opts := fast()
		opts.Tick, opts.Window = 15*time.Millisecond, time.Minute
		c := s.collector(t, opts)
		r := start(t, c)
		p.sources = append(p.sources, c)
		adders.Go(func() {
			p.add(t, w, c)
			r.end(t)
		})
	}
	q := s.querier(t)
	for range 2 {
		askers.Go(func() { p.ask(t, q) })
	}
	adders.Wait()
	p.done.Store(true)
	askers.Wait()
	if got := s.stored(t, "a"); !slices.Equal(got, upTo(len(p.added)*eachAdds)) {
		t.Errorf("stored %d values, want all %d once", len(got), len(p.added)*eachAdds)
	}
}

// eachAdds is how many values each collector of a poll is given.
const eachAdds = 200

// poll is a querier's collectors, and what they acknowledged.
type poll struct {
	sources []bucket.Source[ids]
	added   [3]atomic.Int64
	done    atomic.Bool
}

func (p *poll) add(t *testing.T, w int, c *bucket.Collector[ids]) {
	for i := range eachAdds {
		if err := c.Add(t.Context(), "a", ids{w*eachAdds + i}, nil); err != nil {
			t.Error(err)
			return
		}
		p.added[w].Store(int64(i + 1))
		time.Sleep(time.Millisecond)
	}
}

func (p *poll) ask(t *testing.T, q *bucket.Querier[ids]) {
	from, to := always()
	for !p.done.Load() && !t.Failed() {
		var least [len(p.added)]int
		for w := range least {
			least[w] = int(p.added[w].Load())
		}
		a, err := q.Range(t.Context(), "a", from, to, p.sources, nil)
		if errors.Is(err, bucket.ErrUnstable) {
			continue // on a machine too busy for ticks so short
		}
		if len(a.Missing) > 0 {
			err = errors.Join(a.Missing[0].Err, err)
		}
		if err != nil {
			t.Error(err)
		}
		for w := range least {
			checkRun(t, a.Value, w*eachAdds, least[w])
		}
	}
}

// checkRun fails unless v holds the numbers from first on, each once, and at
// least so many of them.
func checkRun(t *testing.T, v ids, first, least int) {
	t.Helper()
	low, _ := slices.BinarySearch(v, first)
	high, _ := slices.BinarySearch(v, first+eachAdds)
	for i, id := range v[low:high] {
		if id != first+i {
			t.Errorf("a value is lost or twice near %d in %v", id, v[low:high])
			return
		}
	}
	if high-low < least {
		t.Errorf("%d values from %d on, want %d at least", high-low, first, least)
	}
}

// TestQuerierSeesWhatChangesWhileItAsks changes a collector between the
// moment it is asked and the moment the index is read.
func TestQuerierSeesWhatChangesWhileItAsks(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, c *bucket.Collector[ids], s *stores) error{
		"nothing":             func(*testing.T, *bucket.Collector[ids], *stores) error { return nil },
		"the tick is flushed": func(t *testing.T, c *bucket.Collector[ids], _ *stores) error { return c.Flush(t.Context()) },
		"the tick is sealed and not stored": func(t *testing.T, c *bucket.Collector[ids], _ *stores) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_ = c.Flush(ctx)
			return nil
		},
		"flushed, and more came": func(t *testing.T, c *bucket.Collector[ids], _ *stores) error {
			return errors.Join(c.Flush(t.Context()), c.Add(t.Context(), "b", ids{7}, nil), c.Flush(t.Context()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStores(t)
			c := s.collector(t, fast())
			mustAdd(t, c, "a", 1)
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			mustAdd(t, c, "a", 2, 3)
			h := &hooked{Source: c}
			h.after = func(n int64) error {
				if n == 1 {
					return change(t, c, s)
				}
				return nil
			}
			wantIDs(t, "answer", ask(t, s.querier(t), h).Value, nil, ids{1, 2, 3})
		})
	}
}

// TestQuerierFollowsAValueOffItsOwnBlob has a value find its key taken by what
// it stored itself in an attempt that seemed to fail: it is indexed under
// another, and nothing under the first.
func TestQuerierFollowsAValueOffItsOwnBlob(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	c := s.collector(t, fast())
	mustAdd(t, c, "a", 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = c.Flush(ctx)
	s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken, Applied: true, Times: 1})
	h := &hooked{Source: c}
	h.after = func(n int64) error {
		if n == 1 {
			return c.Flush(t.Context())
		}
		return nil
	}
	wantIDs(t, "answer", ask(t, s.querier(t), h).Value, nil, ids{1})
}

// TestQuerierWaitsForTheOwnerOfAnInstant finds an entry of another writer at
// the instant of a value that has yet to learn that it is taken.
func TestQuerierWaitsForTheOwnerOfAnInstant(t *testing.T) {
	t.Parallel()
	s, first, second := rivals(t)
	h := &hooked{Source: first}
	h.after = func(n int64) error {
		switch n {
		case 1:
			return second.Flush(t.Context())
		case 4:
			return first.Flush(t.Context())
		}
		return nil
	}
	wantIDs(t, "answer", ask(t, s.querier(t), h).Value, nil, ids{1, 2})
}

// rivals returns two collectors that each hold a value of one instant, 1 and 2.
func rivals(t *testing.T) (s *stores, first, second *bucket.Collector[ids]) {
	t.Helper()
	s = newStores(t)
	still := time.Now()
	collector := func(value int) *bucket.Collector[ids] {
		opts := fast()
		opts.Now = func() time.Time { return still }
		c := s.collector(t, opts)
		mustAdd(t, c, "a", value)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = c.Flush(ctx)
		return c
	}
	return s, collector(1), collector(2)
}

// TestQuerierFollowsAValueThatMoves has another writer take the instant of a
// value that was asked for before it found out.
func TestQuerierFollowsAValueThatMoves(t *testing.T) {
	t.Parallel()
	s, first, second := rivals(t)
	h := &hooked{Source: first}
	h.after = func(n int64) error {
		if n == 1 {
			return errors.Join(second.Flush(t.Context()), first.Flush(t.Context()))
		}
		return nil
	}
	wantIDs(t, "answer", ask(t, s.querier(t), h, second).Value, nil, ids{1, 2})
	if h.asked.Load() < 2 {
		t.Error("the collector of which a value moved was asked once")
	}
}

func TestQuerierNamesSourcesThatFail(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	good, bad := s.collector(t, fast()), s.collector(t, fast())
	mustAdd(t, good, "a", 1)
	mustAdd(t, bad, "a", 2)
	if err := errors.Join(good.Flush(t.Context()), bad.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, good, "a", 3)
	mustAdd(t, bad, "a", 4)
	h := &hooked{Source: bad, before: func(int64) error { return errBroken }}
	a := ask(t, s.querier(t), good, h)
	wantIDs(t, "answer", a.Value, nil, ids{1, 2, 3})
	if len(a.Missing) != 1 || a.Missing[0].Source != "source 1" || !errors.Is(a.Missing[0].Err, errBroken) {
		t.Errorf("missing: %v, want the second source only", a.Missing)
	}
	h.before = func(n int64) error { // answers, and is gone when asked again
		if n > 2 {
			return errBroken
		}
		return nil
	}
	h.after = func(int64) error { return bad.Flush(t.Context()) }
	a = ask(t, s.querier(t), good, h)
	wantIDs(t, "answer", a.Value, nil, ids{1, 2, 3, 4})
	if len(a.Missing) != 1 || !errors.Is(a.Missing[0].Err, errBroken) {
		t.Errorf("missing: %v, want the second source", a.Missing)
	}
	h.before, h.after = nil, nil
	if a = ask(t, s.querier(t), good, h); len(a.Missing) > 0 {
		t.Errorf("missing after it healed: %v", a.Missing)
	}
}

// TestQuerierAsksOneTwice checks that a collector that stands twice among the
// sources, as one that has two names may, counts once.
func TestQuerierAsksOneTwice(t *testing.T) {
	t.Parallel()
	s, one, two := rivals(t) // each with a sealed value
	mustAdd(t, one, "a", 3)
	mustAdd(t, two, "a", 4)
	wantIDs(t, "answer", ask(t, s.querier(t), one, two, one).Value, nil, ids{1, 2, 3, 4})
}

func TestQuerierErrors(t *testing.T) {
	t.Parallel()
	from, to := always()
	for name, c := range map[string]struct {
		tenant string
		spoil  func(s *stores)
		want   error
	}{
		"a tenant that is none": {tenant: "a b", want: new(index.TenantError)},
		"an index that fails": {tenant: "a", want: errBroken, spoil: func(s *stores) {
			s.index.Inject(faulttest.Fault{Op: faulttest.Query, Times: 1, Err: errBroken})
		}},
		"a store that fails": {tenant: "a", want: errBroken, spoil: func(s *stores) {
			s.tier.Inject(faulttest.Fault{Op: faulttest.Get, Err: errBroken})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStores(t)
			collector := s.collector(t, fast())
			mustAdd(t, collector, "a", 1)
			if err := collector.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.reopen(t)
			if c.spoil != nil {
				c.spoil(s)
			}
			_, err := s.querier(t).Range(t.Context(), c.tenant, from, to, []bucket.Source[ids]{collector}, nil)
			if e := new(index.TenantError); !errors.Is(err, c.want) && !(errors.As(err, &e) && errors.As(c.want, &e)) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestQuerierGivesUp is asked by collectors that never stand still, and by
// callers who leave.
func TestQuerierGivesUp(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	c := s.collector(t, fast())
	h := &hooked{Source: c}
	h.after = func(int64) error {
		return errors.Join(c.Flush(context.Background()), c.Add(context.Background(), "a", ids{1}, nil))
	}
	mustAdd(t, c, "a", 1)
	from, to := always()
	_, err := s.querier(t).Range(t.Context(), "a", from, to, []bucket.Source[ids]{h}, nil)
	if !errors.Is(err, bucket.ErrUnstable) {
		t.Errorf("got %v, want ErrUnstable", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	h.after = func(int64) error { cancel(); return nil }
	if _, err = s.querier(t).Range(ctx, "a", from, to, []bucket.Source[ids]{h}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the caller left", err)
	}
}

// TestHeldIsOfTheRange asks for parts of what a collector holds.
func TestHeldIsOfTheRange(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	now := time.Unix(1_700_000_000, 0)
	opts := fast()
	opts.Now = func() time.Time { return now }
	c := s.collector(t, opts)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 3 { // sealed at 0, 10 and 20 s
		mustAdd(t, c, "a", i)
		_ = c.Flush(ctx)
		now = now.Add(10 * time.Second)
	}
	mustAdd(t, c, "a", 3) // open at 30 s
	begun := time.Unix(1_700_000_000, 0)
	for _, r := range []struct {
		from, to int
		want     ids
	}{
		{-10, 0, nil}, {0, 1, ids{0}}, {0, 10, ids{0}}, {1, 20, ids{1}}, {1, 21, ids{1, 2}}, {20, 30, ids{2}}, {20, 31, ids{2, 3}}, {30, 31, ids{3}}, {31, 99, nil},
	} {
		from, to := begun.Add(time.Duration(r.from)*time.Second), begun.Add(time.Duration(r.to)*time.Second)
		h, err := c.Held(t.Context(), "a", from, to)
		var got ids
		for _, v := range h.Sealed {
			got = append(got, v.Value...)
		}
		if h.IsOpen {
			got = append(got, h.Open...)
		}
		wantIDs(t, fmt.Sprint("held in ", r.from, " to ", r.to), got, err, r.want)
		has, err := s.querier(t).Has(t.Context(), "a", from, to, []bucket.Source[ids]{c})
		if err != nil || has != (len(r.want) > 0) {
			t.Errorf("has %d to %d: %v, %v", r.from, r.to, has, err)
		}
	}
	if _, err := c.Held(ctx, "a", begun, begun); !errors.Is(err, context.Canceled) {
		t.Errorf("held for one who left: %v", err)
	}
}

// TestQuerierTakesNoLaterValueForAnEarlier has a source that held nothing seal
// two values before the index is read, and only the second value reaches the index.
func TestQuerierTakesNoLaterValueForAnEarlier(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	c := s.collector(t, fast())
	h := &hooked{Source: c}
	h.after = func(n int64) error {
		if n > 1 {
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		mustAdd(t, c, "a", 1)
		_ = c.Flush(ctx)
		second := s.collector(t, fast()) // stands for a flush that overtook
		mustAdd(t, second, "a", 2)
		return second.Flush(t.Context())
	}
	wantIDs(t, "answer", ask(t, s.querier(t), h).Value, nil, ids{1, 2})
}

// TestHeldVersions tells when versions must differ and when not.
func TestHeldVersions(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	c := s.collector(t, fast())
	from, to := always()
	version := func(c *bucket.Collector[ids]) string {
		h, err := c.Held(t.Context(), "a", from, to)
		if err != nil {
			t.Fatal(err)
		}
		return h.Version
	}
	seen := []string{version(c), version(s.collector(t, fast()))}
	mustAdd(t, c, "a", 1)
	seen = append(seen, version(c))
	mustAdd(t, c, "a", 2)
	if v := version(c); v != seen[2] {
		t.Errorf("a value in the open tick made %s of %s", v, seen[2])
	}
	for range 2 {
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		seen = append(seen, version(c))
		mustAdd(t, c, "a", 3)
	}
	slices.Sort(seen)
	if distinct := slices.Compact(slices.Clone(seen)); len(distinct) != len(seen) {
		t.Errorf("versions repeat: %v", seen)
	}
}

// TestQuerierTellsEqualKeysApart: two collectors seal at the same instant, so that
// their values have the same key. One value is stored, and the other waits.
func TestQuerierTellsEqualKeysApart(t *testing.T) {
	t.Parallel()
	s, noon := newStores(t), time.Now()
	frozen := func() *bucket.Collector[ids] {
		opts := fast()
		opts.Now = func() time.Time { return noon }
		return s.collector(t, opts)
	}
	first, second := frozen(), frozen()
	mustAdd(t, first, "a", 1)
	mustAdd(t, second, "a", 2)
	ended, end := context.WithCancel(t.Context())
	end()
	_ = second.Flush(ended) // seals, and stores nothing
	if err := first.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, "answer", ask(t, s.querier(t), first, second).Value, nil, ids{1, 2})
	if err := second.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, "stored", ask(t, s.querier(t), first, second).Value, nil, ids{1, 2})
}
