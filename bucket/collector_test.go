package bucket_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/indextest"
	"github.com/timeblob/timeblob/tiered"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

var errBroken = errors.New("broken on purpose")

// ids is a multiset: an id that is lost or counted twice shows.
type ids []int

func mergeIDs(parts []ids) (ids, error) {
	merged := slices.Concat(parts...)
	slices.Sort(merged)
	return merged, nil
}

// idCodec counts how often it encodes.
type idCodec struct{ encodes *atomic.Int64 }

func (c idCodec) Encode(v ids) ([]byte, error) {
	c.encodes.Add(1)
	return json.Marshal(v)
}

func (idCodec) Decode(blob []byte) (v ids, err error) { return v, json.Unmarshal(blob, &v) }

// stores are an index and an authority that fail as they are told, below a
// real store.
type stores struct {
	index   *indextest.Faulty
	tier    *tiertest.Faulty
	blobs   *tiered.Store[ids]
	encodes atomic.Int64
}

func newStores(t testing.TB) *stores {
	t.Helper()
	s := &stores{index: indextest.NewFaulty(bucket.NewMemIndex()), tier: tiertest.NewFaulty(&tiered.MemTier{}, 1)}
	s.reopen(t)
	return s
}

// reopen forgets what is cached, as a restart does.
func (s *stores) reopen(t testing.TB) {
	t.Helper()
	blobs, err := tiered.New(idCodec{&s.encodes}, s.tier, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.blobs = blobs
}

func (s *stores) collector(t testing.TB, opts *bucket.CollectorOptions[ids]) *bucket.Collector[ids] {
	t.Helper()
	if opts == nil {
		opts = &bucket.CollectorOptions[ids]{}
	}
	opts.Size = func(v ids) int64 { return int64(len(v)) }
	c, err := bucket.NewCollector(s.index, s.blobs, mergeIDs, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// stored returns what a reader with no memory finds in the stores.
func (s *stores) stored(t testing.TB, tenant string) ids {
	t.Helper()
	s.reopen(t)
	q, err := bucket.NewQuantizer(s.index, s.blobs, mergeIDs, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	v, err := q.Range(t.Context(), tenant, now.Add(-1000*time.Hour), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func upTo(n int) (v ids) {
	for i := range n {
		v = append(v, i)
	}
	return v
}

func mustAdd(t testing.TB, c *bucket.Collector[ids], tenant string, values ...int) {
	t.Helper()
	for _, v := range values {
		if err := c.Add(tenant, ids{v}); err != nil {
			t.Fatal(err)
		}
	}
}

func wantIDs(t testing.TB, what string, got ids, err error, want ids) {
	t.Helper()
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%s: got %v, error %v; want %v", what, got, err, want)
	}
}

// fast lets failures be repeated without delay.
func fast() *bucket.CollectorOptions[ids] {
	return &bucket.CollectorOptions[ids]{Backoff: time.Microsecond, MaxBackoff: time.Millisecond}
}

func TestRule4RetriesOnlyTheStageThatFailed(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	c := s.collector(t, fast())
	mustAdd(t, c, "a", 1, 2)
	s.tier.Inject(tiertest.Fault{Op: tiertest.Put, Err: errBroken, Times: 3})
	s.index.FailNext(indextest.Put, 4, indextest.Fault{Err: errBroken})
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.encodes.Load(); n != 1 {
		t.Errorf("encoded %d times, want once", n)
	}
	if n := s.tier.Calls(tiertest.Put); n != 4 {
		t.Errorf("put %d times, want 3 failures and 1 success", n)
	}
	if n := s.index.Calls(indextest.Put); n != 5 {
		t.Errorf("indexed %d times, want 4 failures and 1 success", n)
	}
	wantIDs(t, "stored", s.stored(t, "a"), nil, ids{1, 2})
	if n := c.Pending(); n != 0 {
		t.Errorf("%d bytes are still pending", n)
	}
}

func TestRule4StoredBeforeDiscoverable(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	c := s.collector(t, fast())
	s.index.Inject(func(call indextest.Call) indextest.Fault {
		if call.Op == indextest.Put {
			blobs, err := s.tier.Get(context.Background(), []string{call.Entry.Key})
			if err != nil || len(blobs) != 1 {
				t.Errorf("entry %v before its blob: %v", call.Entry, err)
			}
		}
		return indextest.Fault{}
	})
	for i := range 20 {
		mustAdd(t, c, fmt.Sprint("t", i), i)
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestFailedButLanded lets steps take effect and then report a failure: the
// value must not be written twice.
func TestFailedButLanded(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	c := s.collector(t, fast())
	mustAdd(t, c, "a", 1)
	s.tier.Inject(tiertest.Fault{Op: tiertest.Put, Err: errBroken, Stored: true, Times: 2})
	s.index.FailNext(indextest.Put, 2, indextest.Fault{Err: errBroken, Landed: true})
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, "stored", s.stored(t, "a"), nil, ids{1})
	v, err := c.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	wantIDs(t, "range", v, err, ids{1})
}

// TestRule5SameNanosecond lets two collectors with one clock write one tenant.
func TestRule5SameNanosecond(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	still := time.Unix(1_700_000_000, 0)
	opts := func() *bucket.CollectorOptions[ids] {
		o := fast()
		o.Now = func() time.Time { return still }
		return o
	}
	var writers sync.WaitGroup
	const each = 300
	for w := range 2 {
		c := s.collector(t, opts())
		writers.Go(func() {
			for i := range each {
				if err := errors.Join(c.Add("a", ids{w*each + i}), c.Flush(context.Background())); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	q, err := bucket.NewQuantizer(s.index, s.blobs, mergeIDs, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := q.Range(t.Context(), "a", still, still.Add(time.Hour))
	wantIDs(t, "stored", v, err, upTo(2*each))
}

func TestRule4OtherTenantsGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores(t)
		stuck := bucket.RowAt("stuck", time.Now().UnixNano()).BlobKey(0)[:32]
		s.tier.Inject(tiertest.Fault{Op: tiertest.Put, Hang: true,
			Match: func(key string) bool { return strings.HasPrefix(key, stuck) }})
		c := s.collector(t, nil)
		run := start(t, c)
		mustAdd(t, c, "stuck", 100)
		mustAdd(t, c, "b", 1)
		time.Sleep(3500 * time.Millisecond)
		wantIDs(t, "the other tenant", s.stored(t, "b"), nil, ids{1})
		mustAdd(t, c, "b", 2)
		time.Sleep(3 * time.Second)
		wantIDs(t, "the other tenant's next tick", s.stored(t, "b"), nil, ids{1, 2})
		v, err := c.Range(t.Context(), "stuck", time.Now().Add(-time.Minute), time.Now())
		wantIDs(t, "the stuck tenant, from memory", v, err, ids{100})
		s.tier.Heal()
		time.Sleep(15 * time.Second)
		wantIDs(t, "the stuck tenant, healed", s.stored(t, "stuck"), nil, ids{100})
		run.end(t)
	})
}

// running is a call of Run in a test.
type running struct {
	c    *bucket.Collector[ids]
	done chan error
}

func start(t testing.TB, c *bucket.Collector[ids]) running {
	r := running{c, make(chan error, 1)}
	go func() { r.done <- c.Run(t.Context()) }()
	return r
}

func (r running) end(t testing.TB) {
	t.Helper()
	if err := r.c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-r.done; err != nil && !errors.Is(err, bucket.ErrClosed) { // closed before it began
		t.Error(err)
	}
}

func TestRule8CloseRightAfterAdd(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	c := s.collector(t, fast())
	r := start(t, c)
	mustAdd(t, c, "a", 1, 2, 3)
	r.end(t)
	wantIDs(t, "stored", s.stored(t, "a"), nil, ids{1, 2, 3})
	if err := c.Add("a", ids{4}); !errors.Is(err, bucket.ErrClosed) {
		t.Errorf("add after close: %v", err)
	}
	if err := c.Run(t.Context()); !errors.Is(err, bucket.ErrClosed) {
		t.Errorf("run after close: %v", err)
	}
}

// TestRule8CloseWhileAdding checks that each Add is either refused or stored.
func TestRule8CloseWhileAdding(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	c := s.collector(t, fast())
	r := start(t, c)
	var adders sync.WaitGroup
	var mu sync.Mutex
	var taken ids
	for a := range 8 {
		adders.Go(func() {
			for i := 0; ; i++ {
				v := a<<32 + i
				if err := c.Add("a", ids{v}); err != nil {
					if !errors.Is(err, bucket.ErrClosed) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				taken = append(taken, v)
				mu.Unlock()
			}
		})
	}
	time.Sleep(5 * time.Millisecond)
	r.end(t)
	adders.Wait()
	slices.Sort(taken)
	if got := s.stored(t, "a"); !slices.Equal(got, taken) {
		t.Fatalf("%d values were taken, %d are stored", len(taken), len(got))
	}
}

func TestRule8CloseReportsWhatIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores(t)
		c := s.collector(t, nil)
		mustAdd(t, c, "a", 1)
		mustAdd(t, c, "b", 2)
		s.tier.Inject(tiertest.Fault{Op: tiertest.Put, Err: errBroken})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := c.Close(ctx)
		left, ok := errors.AsType[*bucket.UndeliveredError](err)
		if !ok || len(left.Values) != 2 || !errors.Is(err, errBroken) {
			t.Fatalf("got %v", err)
		}
		v, err := c.Range(t.Context(), "a", time.Now().Add(-time.Minute), time.Now())
		wantIDs(t, "what is left is still answered", v, err, ids{1})
		s.tier.Heal()
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantIDs(t, "after closing again", s.stored(t, "a"), nil, ids{1})
		wantIDs(t, "after closing again", s.stored(t, "b"), nil, ids{2})
	})
}

func TestRule4PendingIsBounded(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	opts := fast()
	opts.MaxPending = 10
	c := s.collector(t, opts)
	mustAdd(t, c, "a", upTo(10)...)
	full, ok := errors.AsType[*bucket.FullError](c.Add("b", ids{11}))
	if !ok || full.Pending != 10 || full.Limit != 10 {
		t.Fatalf("got %v", full)
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, c, "b", 12)
	v, err := c.At(t.Context(), "b", time.Now())
	wantIDs(t, "only what was taken", v, err, ids{12})
}

func TestAddRefuses(t *testing.T) {
	t.Parallel()
	c := newStores(t).collector(t, nil)
	for _, tenant := range []string{">", "*", "a b", "a\n", strings.Repeat("x", 65), "é"} {
		if _, ok := errors.AsType[*bucket.TenantError](c.Add(tenant, ids{1})); !ok {
			t.Errorf("%q was taken", tenant)
		}
		if _, err := c.At(t.Context(), tenant, time.Now()); err == nil {
			t.Errorf("%q was asked", tenant)
		}
	}
	if got := c.Tenants(); len(got) > 0 {
		t.Errorf("tenants %q", got)
	}
}

// TestRule7IdleTenantsAreLetGo also sees that one who comes back is new.
func TestRule7IdleTenantsAreLetGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores(t)
		c := s.collector(t, nil)
		r := start(t, c)
		for i := range 100 {
			mustAdd(t, c, fmt.Sprint("t", i), i)
		}
		time.Sleep(10 * time.Second)
		if n := len(c.Tenants()); n != 100 {
			t.Errorf("%d tenants within the window, want 100", n)
		}
		time.Sleep(12 * time.Second)
		if got := c.Tenants(); len(got) > 0 {
			t.Errorf("still holds %q", got)
		}
		mustAdd(t, c, "t1", 1000)
		v, err := c.At(t.Context(), "t1", time.Now())
		wantIDs(t, "one who came back", v, err, ids{1000})
		r.end(t)
	})
}

func TestAliveAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores(t)
		first := s.collector(t, nil)
		mustAdd(t, first, "a", 1)
		if err := first.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		alone := s.collector(t, &bucket.CollectorOptions[ids]{Alone: true})
		one := s.collector(t, nil)
		mustAdd(t, alone, "a", 2)
		mustAdd(t, one, "a", 3)
		v, err := alone.At(t.Context(), "a", time.Now())
		wantIDs(t, "alone", v, err, ids{1, 2})
		v, err = one.At(t.Context(), "a", time.Now())
		wantIDs(t, "one of several", v, err, ids{3})
		time.Sleep(10*time.Second + 1)
		v, err = alone.At(t.Context(), "a", time.Now())
		wantIDs(t, "once the window has passed", v, err, ids{2})
		if err := errors.Join(alone.Close(t.Context()), one.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
	})
}

// TestEveryAnswerHoldsEveryValueOnce asks without pause while values arrive,
// are sealed, flushed, and fail to be: each answer must hold every value that
// was acknowledged before the question, and none twice.
func TestEveryAnswerHoldsEveryValueOnce(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	s.tier.Inject(tiertest.Fault{Op: tiertest.Put, Chance: 0.2, Err: errBroken})
	s.tier.Inject(tiertest.Fault{Op: tiertest.Put, Chance: 0.2, Err: errBroken, Stored: true})
	n := 0
	s.index.Inject(func(call indextest.Call) indextest.Fault {
		if n++; call.Op == indextest.Put && n%3 == 0 {
			return indextest.Fault{Err: errBroken, Landed: n%2 == 0}
		}
		return indextest.Fault{}
	})
	opts := fast()
	opts.Tick, opts.Window = time.Millisecond, time.Second
	checkAnswers(t, s.collector(t, opts))
	if got := s.stored(t, "a"); !slices.Equal(got, upTo(len(got))) {
		t.Error("stored values are lost or twice")
	}
}

// checkAnswers lets one goroutine add numbers and others ask.
func checkAnswers(t *testing.T, c *bucket.Collector[ids]) {
	t.Helper()
	r := start(t, c)
	begun := time.Now()
	var added atomic.Int64
	var workers sync.WaitGroup
	workers.Go(func() {
		for i := range 400 {
			if err := c.Add("a", ids{i}); err != nil {
				t.Error(err)
				return
			}
			added.Store(int64(i + 1))
			time.Sleep(100 * time.Microsecond)
		}
	})
	for range 3 {
		workers.Go(func() {
			for added.Load() < 400 && !t.Failed() {
				least := int(added.Load())
				v, err := c.Range(t.Context(), "a", begun, time.Now().Add(time.Hour))
				if err != nil || len(v) < least || !slices.Equal(v, upTo(len(v))) {
					t.Errorf("after %d: got %v, error %v", least, v, err)
				}
			}
		})
	}
	workers.Wait()
	r.end(t)
}

// TestCollectorIsItsValues compares random histories, with a store that fails
// at random, with the plain list of what was added and when it was sealed.
func TestCollectorIsItsValues(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := newStores(t)
		now := time.Unix(1_700_000_000, 0)
		opts := fast()
		opts.Now = func() time.Time { return now }
		m := history{now: now}
		c := s.collector(t, opts)
		for range rapid.IntRange(1, 60).Draw(rt, "operations") {
			switch rapid.SampledFrom([]string{"add", "add", "flush", "wait", "fail", "ask", "ask"}).Draw(rt, "operation") {
			case "add":
				mustAdd(t, c, "a", m.add())
			case "flush":
				s.heal()
				if err := c.Flush(t.Context()); err != nil {
					rt.Fatal(err)
				}
				m.seal()
			case "wait":
				now = now.Add(time.Duration(rapid.Int64Range(1, int64(20*time.Second)).Draw(rt, "time")))
				m.now = now
			case "fail":
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				_ = c.Flush(ctx) // seals, and delivers nothing
				m.seal()
			case "ask":
				from := rapid.Int64Range(-int64(time.Minute), int64(time.Second)).Draw(rt, "from")
				length := rapid.Int64Range(0, int64(time.Minute)).Draw(rt, "length")
				start := now.Add(time.Duration(from))
				end := start.Add(time.Duration(length))
				v, err := c.Range(t.Context(), "a", start, end)
				wantIDs(t, fmt.Sprint("range ", start, end), v, err, m.between(start, end))
			}
		}
	})
}

func (s *stores) heal() {
	s.tier.Heal()
	s.index.Inject(nil)
}

// history is what a collector was given.
type history struct {
	now, last time.Time
	sealed    []struct {
		at     time.Time
		values ids
	}
	current ids
	next    int
}

func (h *history) add() int {
	h.current = append(h.current, h.next)
	h.next++
	return h.next - 1
}

func (h *history) seal() {
	if len(h.current) == 0 {
		return
	}
	h.last = later(h.now, h.last.Add(1))
	h.sealed = append(h.sealed, struct {
		at     time.Time
		values ids
	}{h.last, h.current})
	h.current = nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (h *history) between(from, to time.Time) (v ids) {
	for _, s := range h.sealed {
		if !s.at.Before(from) && s.at.Before(to) {
			v = append(v, s.values...)
		}
	}
	if now := later(h.now, h.last.Add(1)); !now.Before(from) && now.Before(to) {
		v = append(v, h.current...)
	}
	slices.Sort(v)
	return v
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
