package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// slowTier takes 20 ms for a put, and hangs when the key belongs to one row.
type slowTier struct {
	tiered.MemTier
	hangs string // the first part of the keys
}

func (s *slowTier) Put(ctx context.Context, key string, blob []byte) error {
	wait := 20 * time.Millisecond
	if s.hangs != "" && strings.HasPrefix(key, s.hangs) {
		wait = time.Hour
	}
	select {
	case <-time.After(wait):
		return s.MemTier.Put(ctx, key, blob)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// delays returns how long the values of 100 tenants took, each from the end of its
// tick until it was stored, ascending, while the puts of one more tenant hang or not.
func delays(t *testing.T, tick time.Duration, hang bool) (took []time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tier := &slowTier{}
		if hang {
			now := time.Now().UnixNano()
			tier.hangs, _, _ = strings.Cut(index.RowAt("hangs", now).BlobKey(now), "/")
		}
		blobs, err := tiered.New(idCodec{}, tier, nil)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex // guards took
		c, err := bucket.NewCollector(index.NewMemIndex(), blobs, mergeIDs, &bucket.CollectorOptions[ids]{
			Tick: tick, Window: 5 * tick, Stored: func(tenant string, e index.Entry, _ int) {
				mu.Lock()
				defer mu.Unlock()
				if tenant != "hangs" {
					took = append(took, time.Since(time.Unix(0, e.Time)))
				}
			}})
		if err != nil {
			t.Fatal(err)
		}
		running, stop := context.WithCancel(t.Context())
		ran := make(chan struct{})
		go func() { defer close(ran); _ = c.Run(running) }()
		for i := range 60 { // ticks
			for n := range 100 {
				mustAdd(t, c, fmt.Sprint("t", n), i)
			}
			mustAdd(t, c, "hangs", i)
			time.Sleep(tick)
		}
		time.Sleep(tick)
		stop()
		<-ran
	})
	slices.Sort(took)
	return took
}

// TestOneTenantThatHangs lets the puts of one tenant hang for good. The delay that
// 99 % of the other tenants' values stay within may double at most.
func TestOneTenantThatHangs(t *testing.T) {
	t.Parallel()
	p99 := func(took []time.Duration) time.Duration { return took[len(took)*99/100] }
	for _, tick := range []time.Duration{3 * time.Second, time.Second, 400 * time.Millisecond} {
		usual, beside := delays(t, tick, false), delays(t, tick, true)
		if len(beside) < 100*59 || p99(beside) > 2*p99(usual) {
			t.Errorf("tick %v: %d values within %v, usually %d within %v", tick, len(beside), p99(beside), len(usual), p99(usual))
		}
		t.Logf("tick %v: p99 %v, usually %v", tick, p99(beside), p99(usual))
	}
}

// hanging are functions of the user that do not return until they are released: Encode
// for a value with -1, and merge for one with -2.
type hanging struct {
	released chan struct{}
	idCodec
}

func (h *hanging) Encode(v ids) ([]byte, error) {
	if slices.Contains(v, -1) {
		<-h.released
	}
	return h.idCodec.Encode(v)
}

func (h *hanging) merge(parts []ids) (ids, error) {
	if slices.ContainsFunc(parts, func(v ids) bool { return slices.Contains(v, -2) }) {
		<-h.released
	}
	return mergeIDs(parts)
}

// TestFunctionsThatNeverReturn lets the merge of one tenant and the encoding of another
// one's value hang. The values of others are stored in time. Whatever is asked about the
// first, and Flush and Close, end with their contexts.
func TestFunctionsThatNeverReturn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &hanging{released: make(chan struct{})}
		blobs, err := tiered.New(h, new(tiered.MemTier), nil)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex // guards late and stored
		var late time.Duration
		stored := 0
		c, err := bucket.NewCollector(index.NewMemIndex(), blobs, h.merge, &bucket.CollectorOptions[ids]{
			Logger: slog.New(slog.DiscardHandler),
			Stored: func(tenant string, e index.Entry, _ int) {
				mu.Lock()
				defer mu.Unlock()
				late, stored = max(late, time.Since(time.Unix(0, e.Time))), stored+1
			}})
		if err != nil {
			t.Fatal(err)
		}
		r := start(t, c)
		mustAdd(t, c, "encode", -1)
		var adding sync.WaitGroup
		for i := range 4 { // more than there are processors
			tenant := fmt.Sprint("merge", i)
			mustAdd(t, c, tenant, -2)
			adding.Go(func() { mustAdd(t, c, tenant, -3) })
		}
		synctest.Wait()
		for i := range 100 {
			mustAdd(t, c, "good", i)
			time.Sleep(time.Second)
		}
		mu.Lock()
		if stored < 30 || late > 4*time.Second {
			t.Errorf("%d values of the good tenant are stored, the latest %v after its tick", stored, late)
		}
		mu.Unlock()
		h.wantContexts(t, c)
		close(h.released)
		adding.Wait()
		r.end(t)
		for tenant, want := range map[string]ids{"encode": {-1}, "merge0": {-3, -2}, "good": upTo(100)} {
			a, err := c.Range(t.Context(), tenant, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), nil)
			slices.Sort(a.Value)
			wantIDs(t, tenant, a, err, want)
		}
	})
}

// wantContexts checks that calls which meet a function that does not return end with
// their contexts, and say why.
func (h *hanging) wantContexts(t *testing.T, c *bucket.Collector[ids]) {
	t.Helper()
	from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for what, call := range map[string]func(context.Context) error{
		"add":    func(ctx context.Context) error { return c.Add(ctx, "merge1", ids{1}, nil) },
		"at":     func(ctx context.Context) error { _, err := c.At(ctx, "merge1", to, nil); return err },
		"range":  func(ctx context.Context) error { _, err := c.Range(ctx, "merge1", from, to, nil); return err },
		"has":    func(ctx context.Context) error { _, err := c.Has(ctx, "merge1", from, to); return err },
		"held":   func(ctx context.Context) error { _, err := c.Held(ctx, "merge1", from, to); return err },
		"share":  func(ctx context.Context) error { _, err := c.Share(ctx, "merge1"); return err },
		"waits":  func(ctx context.Context) error { _, err := c.Waiting(ctx, "merge1"); return err },
		"delete": func(ctx context.Context) error { _, err := c.Delete(ctx, "merge1", from, to, nil); return err },
		"flush":  c.Flush,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		begun := time.Now()
		err := call(ctx)
		if took := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || took > 10*time.Second {
			t.Errorf("%s: ended after %v with %v", what, took, err)
		}
		if left, ok := errors.AsType[*bucket.UndeliveredError](err); what == "flush" && (!ok || len(left.Values) != 5) {
			t.Errorf("flush: %v", err)
		}
		cancel()
	}
}

// TestAFlushWaitsForFailed has Failed take a while, hang, or flush, in a goroutine of Run. A flush waits for it, but not for ever: for one
// deadline, and no more when it has hung for three.
func TestAFlushWaitsForFailed(t *testing.T) {
	t.Parallel()
	const deadline = 10 * time.Second
	for name, test := range map[string]struct {
		failed func(t *testing.T, c *bucket.Collector[ids])
		most   time.Duration
	}{
		"slow":    {func(*testing.T, *bucket.Collector[ids]) { time.Sleep(5 * time.Second) }, 5 * time.Second},
		"hangs":   {func(t *testing.T, _ *bucket.Collector[ids]) { <-t.Context().Done() }, deadline},
		"flushes": {func(t *testing.T, c *bucket.Collector[ids]) { _ = c.Flush(t.Context()) }, deadline},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStores(t)
				s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Err: tooLarge{}})
				var c *bucket.Collector[ids]
				var returned atomic.Bool
				opts := fast()
				opts.Deadline, opts.Tick = deadline, time.Second
				opts.Failed = func(string, ids, error) { test.failed(t, c); returned.Store(true) }
				c = s.collector(t, opts)
				ran := make(chan error, 1)
				go func() { ran <- c.Run(t.Context()) }()
				mustAdd(t, c, "a", 1)
				time.Sleep(2 * time.Second)
				begun := time.Now()
				if err := c.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begun); took > test.most || !returned.Load() && took < test.most {
					t.Errorf("the flush took %v, and Failed has returned: %v", took, returned.Load())
				}
				time.Sleep(3 * deadline)
				begun = time.Now()
				if err := c.Flush(t.Context()); err != nil || time.Since(begun) > 0 {
					t.Errorf("a later flush took %v: %v", time.Since(begun), err)
				}
			})
		})
	}
}

// TestAFlushDoesNotWaitForLaterFailures adds a value that is too large each second, for which Failed takes 3 s. A flush waits for those that it
// finds, and no longer.
func TestAFlushDoesNotWaitForLaterFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts := fast()
		opts.Deadline, opts.Tick, opts.MaxBlob = 10*time.Second, time.Second, 100
		opts.Failed = func(string, ids, error) { time.Sleep(3 * time.Second) }
		c := newStores(t).collector(t, opts)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = c.Run(ctx) }()
		go func() {
			for i := 0; ctx.Err() == nil; i++ {
				_ = c.Add(ctx, fmt.Sprint("bad", i), upTo(1000), nil)
				time.Sleep(time.Second)
			}
		}()
		time.Sleep(20500 * time.Millisecond)
		begun := time.Now()
		if err := c.Flush(t.Context()); err != nil || time.Since(begun) > 4*time.Second {
			t.Errorf("the flush took %v: %v", time.Since(begun), err)
		}
		cancel()
		time.Sleep(time.Minute)
	})
}
