package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
)

func TestRule4RetriesOnlyTheStageThatFailed(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	c := s.collector(t, fast())
	mustAdd(t, c, "a", 1, 2)
	s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken, Times: 3})
	s.index.Inject(faulttest.Fault{Op: faulttest.Put, Times: 4, Err: errBroken})
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.encodes.Load(); n != 1 {
		t.Errorf("encoded %d times, want once", n)
	}
	if n := s.tier.Calls(faulttest.Put); n != 4 {
		t.Errorf("put %d times, want 3 failures and 1 success", n)
	}
	if n := s.index.Calls(faulttest.Put); n != 5 {
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
	s.index.Decide(func(call faulttest.Call) faulttest.Fault {
		if call.Op == faulttest.Put {
			blobs, err := s.tier.Get(context.Background(), []string{call.Entry.Key})
			if err != nil || len(blobs) != 1 {
				t.Errorf("entry %v before its blob: %v", call.Entry, err)
			}
		}
		return faulttest.Fault{}
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
	s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken, Applied: true, Times: 2})
	s.index.Inject(faulttest.Fault{Op: faulttest.Put, Times: 2, Err: errBroken, Applied: true})
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, "stored", s.stored(t, "a"), nil, ids{1})
	v, err := c.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), nil)
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
				if err := errors.Join(c.Add(context.Background(), "a", ids{w*each + i}, nil), c.Flush(context.Background())); err != nil {
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
	v, err := q.Range(t.Context(), "a", still, still.Add(time.Hour), nil)
	wantIDs(t, "stored", v.Value, err, upTo(2*each))
}

func TestRule4OtherTenantsGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores(t)
		stuck := index.RowAt("stuck", time.Now().UnixNano()).BlobKey(0)[:32]
		s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Hang: true,
			Match: func(c faulttest.Call) bool { return strings.HasPrefix(c.Key, stuck) }})
		c := s.collector(t, nil)
		run := start(t, c)
		mustAdd(t, c, "stuck", 100)
		mustAdd(t, c, "b", 1)
		time.Sleep(3500 * time.Millisecond)
		wantIDs(t, "the other tenant", s.stored(t, "b"), nil, ids{1})
		mustAdd(t, c, "b", 2)
		time.Sleep(3 * time.Second)
		wantIDs(t, "the other tenant's next tick", s.stored(t, "b"), nil, ids{1, 2})
		v, err := c.Range(t.Context(), "stuck", time.Now().Add(-time.Minute), time.Now(), nil)
		wantIDs(t, "the stuck tenant, from memory", v, err, ids{100})
		s.tier.Heal()
		time.Sleep(15 * time.Second)
		wantIDs(t, "the stuck tenant, healed", s.stored(t, "stuck"), nil, ids{100})
		run.end(t)
	})
}

// TestRule4ManyThatHangHoldUpNone lets more tenants hang than are flushed at
// a time. Once their first attempts are over they have a lane of their own.
func TestRule4ManyThatHangHoldUpNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores(t)
		healthy := index.RowAt("b", time.Now().UnixNano()).BlobKey(0)[:32]
		s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Hang: true,
			Match: func(c faulttest.Call) bool { return !strings.HasPrefix(c.Key, healthy) }})
		c := s.collector(t, &bucket.CollectorOptions[ids]{Flushes: 3, Deadline: 10 * time.Second})
		run := start(t, c)
		for i := range 10 {
			mustAdd(t, c, fmt.Sprint("stuck", i), i)
		}
		time.Sleep(50 * time.Second) // the first attempts of ten, three at a time
		for i := range 10 {
			mustAdd(t, c, fmt.Sprint("stuck", i), 100+i)
		}
		mustAdd(t, c, "b", 1)
		time.Sleep(3001 * time.Millisecond)
		wantIDs(t, "the healthy tenant", s.stored(t, "b"), nil, ids{1})
		s.tier.Heal()
		run.end(t)
		wantIDs(t, "a stuck one, healed", s.stored(t, "stuck7"), nil, ids{7, 107})
	})
}

// TestRule4AHangThatPassesIsForgotten lets a tenant hang once among many that
// hang for good: what it sends must not stay behind theirs.
func TestRule4AHangThatPassesIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores(t)
		once := index.RowAt("once", time.Now().UnixNano()).BlobKey(0)[:32]
		s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Hang: true, Times: 1,
			Match: func(c faulttest.Call) bool { return strings.HasPrefix(c.Key, once) }})
		s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Hang: true,
			Match: func(c faulttest.Call) bool { return !strings.HasPrefix(c.Key, once) }})
		c := s.collector(t, &bucket.CollectorOptions[ids]{Flushes: 3, Deadline: 2 * time.Second})
		run := start(t, c)
		for i := range 100 {
			mustAdd(t, c, "once", i)
			for j := range 12 {
				mustAdd(t, c, fmt.Sprint("stuck", j), i)
			}
			time.Sleep(3 * time.Second)
		}
		if got := s.stored(t, "once"); len(got) < 90 {
			t.Errorf("%d of 100 values are stored after 5 minutes, 12 of 12 tenants hanging: %v", len(got), got)
		}
		s.tier.Heal()
		run.end(t)
		wantIDs(t, "all, healed", s.stored(t, "once"), nil, upTo(100))
		wantIDs(t, "a stuck one, healed", s.stored(t, "stuck7"), nil, upTo(100))
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
	if err := c.Add(t.Context(), "a", ids{4}, nil); !errors.Is(err, bucket.ErrClosed) {
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
				v := a<<24 + i
				if err := c.Add(t.Context(), "a", ids{v}, nil); err != nil {
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
		s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Err: errBroken})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := c.Close(ctx)
		left, ok := errors.AsType[*bucket.UndeliveredError](err)
		if !ok || len(left.Values) != 2 || !errors.Is(err, errBroken) {
			t.Fatalf("got %v", err)
		}
		v, err := c.Range(t.Context(), "a", time.Now().Add(-time.Minute), time.Now(), nil)
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
	opts.MaxPending, opts.MaxTenantPending = 10, 10
	c := s.collector(t, opts)
	mustAdd(t, c, "a", upTo(10)...)
	full, ok := errors.AsType[*bucket.FullError](c.Add(t.Context(), "b", ids{11}, nil))
	if !ok || full.Pending != 10 || full.Limit != 10 {
		t.Fatalf("got %v", full)
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, c, "b", 12)
	v, err := c.At(t.Context(), "b", time.Now(), nil)
	wantIDs(t, "only what was taken", v, err, ids{12})
}

func TestAddRefuses(t *testing.T) {
	t.Parallel()
	c := newStores(t).collector(t, nil)
	for _, tenant := range []string{">", "*", "a b", "a\n", strings.Repeat("x", 65), "é"} {
		if _, ok := errors.AsType[*index.TenantError](c.Add(t.Context(), tenant, ids{1}, nil)); !ok {
			t.Errorf("%q was taken", tenant)
		}
		if _, err := c.At(t.Context(), tenant, time.Now(), nil); err == nil {
			t.Errorf("%q was asked", tenant)
		}
	}
	if got := c.LiveTenants(); len(got) > 0 {
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
		if n := len(c.LiveTenants()); n != 100 {
			t.Errorf("%d tenants within the window, want 100", n)
		}
		time.Sleep(12 * time.Second)
		if got := c.LiveTenants(); len(got) > 0 {
			t.Errorf("still holds %q", got)
		}
		mustAdd(t, c, "t1", 1000)
		v, err := c.At(t.Context(), "t1", time.Now(), nil)
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
		v, err := alone.At(t.Context(), "a", time.Now(), nil)
		wantIDs(t, "alone", v, err, ids{1, 2})
		v, err = one.At(t.Context(), "a", time.Now(), nil)
		wantIDs(t, "one of several", v, err, ids{3})
		time.Sleep(10*time.Second + 1)
		v, err = alone.At(t.Context(), "a", time.Now(), nil)
		wantIDs(t, "once the window has passed", v, err, ids{2})
		if err := errors.Join(alone.Close(t.Context()), one.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
	})
}

// TestMain drops what collectors log by default.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}
