package outbox

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options() Options {
	return Options{Workers: 4, MaxWorkers: 16, Backoff: time.Second, MaxBackoff: 8 * time.Second, Slow: time.Second}
}

// tries counts attempts under way.
type tries struct {
	mu            sync.Mutex
	running, most int
	times         []time.Time
}

func (c *tries) begin() func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running++
	c.most = max(c.most, c.running)
	c.times = append(c.times, time.Now())
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running--
	}
}

func (c *tries) now() (attempts, running int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.times), c.running
}

func empty[V any](o *Outbox[V]) func() bool { return func() bool { return len(o.Values()) == 0 } }

// TestWorkersFollowTheBacklog counts attempts at a time: as many as are allowed
// at least, more where more values wait, never more than are allowed at most.
func TestWorkersFollowTheBacklog(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ values, want int }{{3, 3}, {20, 4}, {80, 9}, {1000, 16}} {
		synctest.Test(t, func(t *testing.T) {
			o := New[int](options())
			for i := range c.values {
				o.Put(new(Sender[int]), i)
			}
			var count tries
			o.Work(t.Context(), func(context.Context, int, int) error {
				defer count.begin()()
				time.Sleep(100 * time.Millisecond)
				return nil
			}, empty(o))
			if len(count.times) != c.values || count.most != c.want {
				t.Errorf("%d values: %d attempts, %d at a time, want %d", c.values, len(count.times), count.most, c.want)
			}
		})
	}
}

// TestWorkersDoNotGrowWhileAttemptsFail spares a store that is away.
func TestWorkersDoNotGrowWhileAttemptsFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := New[int](options())
		for i := range 1000 {
			o.Put(new(Sender[int]), i)
		}
		var count tries
		fails := errors.New("away")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		o.Work(ctx, func(context.Context, int, int) error {
			defer count.begin()()
			time.Sleep(10 * time.Millisecond)
			if attempts, running := count.now(); attempts > 32 && running > 4 {
				t.Errorf("%d attempts at a time while the store is away", running)
			}
			return fails
		}, empty(o))
		if len(o.Values()) != 1000 {
			t.Errorf("%d values are left", len(o.Values()))
		}
	})
}

// TestBackoffDoubles looks at the times of attempts at one value.
func TestBackoffDoubles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := New[int](options())
		o.Put(new(Sender[int]), 1)
		var count tries
		o.Work(t.Context(), func(_ context.Context, _, failed int) error {
			defer count.begin()()
			if failed < 6 {
				return errors.New("again")
			}
			return nil
		}, empty(o))
		for i, full := range []time.Duration{1, 2, 4, 8, 8, 8} {
			full *= time.Second
			if got := count.times[i+1].Sub(count.times[i]); got < full/2 || got > full {
				t.Errorf("wait %d: %v, want %v to %v", i+1, got, full/2, full)
			}
		}
	})
}

// TestInterruptedValuesStayDue checks that an attempt that its context ended is no
// failure of the value.
func TestInterruptedValuesStayDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := New[int](options())
		o.Put(new(Sender[int]), 1)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		hang := func(ctx context.Context, _, _ int) error { <-ctx.Done(); return ctx.Err() }
		o.Work(ctx, hang, empty(o))
		begun := time.Now()
		o.Work(t.Context(), func(_ context.Context, _, failed int) error {
			if failed != 0 || time.Since(begun) != 0 {
				t.Errorf("tried after %v, with %d failures", time.Since(begun), failed)
			}
			return nil
		}, empty(o))
	})
}
