package outbox

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options() Options {
	return Options{Workers: 4, MaxWorkers: 16, Backoff: time.Second, MaxBackoff: 8 * time.Second, Slow: time.Second, Stuck: 30 * time.Second}
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

// TestAValueThatWaitsIsNoFailure has one value wait. It is tried when its time has passed, also after an earlier failure. Its sender's other
// values are tried at once.
func TestAValueThatWaitsIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s, begun := New[int](options()), new(Sender[int]), time.Now()
		for v := range 4 {
			o.Put(s, v)
		}
		var first []time.Duration
		o.Work(t.Context(), func(_ context.Context, v, failed int) error {
			after := time.Since(begun)
			if v > 0 {
				if after > 20*time.Second {
					t.Errorf("value %d is tried after %v", v, after)
				}
				return nil
			}
			switch first = append(first, after); len(first) {
			case 1:
				time.Sleep(10 * time.Second) // a slow failure
				return errors.New("away")
			case 2, 3:
				if failed != 1 {
					t.Errorf("%d failures", failed)
				}
				return &WaitError{For: time.Hour * time.Duration(3-len(first)), Cause: errors.New("later")}
			}
			return nil
		}, empty(o))
		if len(first) != 4 || first[2]-first[1] != time.Hour || first[3]-first[2] != time.Second {
			t.Errorf("tried after %v", first)
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

// put is a value that knows when it was put, and of what sender it is.
type put struct {
	sender *Sender[put]
	at     time.Time
}

// TestAHangingSenderHoldsOneWorker lets the attempts of one sender hang, which
// puts a value each second. The values of others are tried when they are put.
func TestAHangingSenderHoldsOneWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := New[put](options())
		hangs := new(Sender[put])
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		go func() {
			for range 100 {
				o.Put(hangs, put{hangs, time.Now()})
				for range 3 {
					other := new(Sender[put])
					o.Put(other, put{other, time.Now()})
				}
				time.Sleep(time.Second)
			}
		}()
		var hanging tries
		o.Work(ctx, func(ctx context.Context, v put, _ int) error {
			if v.sender != hangs {
				if late := time.Since(v.at); late > 0 {
					t.Errorf("another sender's value waited %v", late)
				}
				time.Sleep(100 * time.Millisecond)
				return nil
			}
			defer hanging.begin()()
			attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			<-attempt.Done()
			return attempt.Err()
		}, func() bool { return false })
		if hanging.most != 1 || len(o.Values()) != 100 {
			t.Errorf("%d attempts hung at a time, and %d values are left", hanging.most, len(o.Values()))
		}
	})
}

// TestASenderLeavesWorkersToOthers lets one sender have many values. It gets half
// of the workers, and a value of another sender is tried when it is put.
func TestASenderLeavesWorkersToOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ workers, values, most int }{{1, 10, 1}, {4, 30, 2}, {16, 1000, 8}} {
		synctest.Test(t, func(t *testing.T) {
			o := New[put](Options{Workers: min(4, c.workers), MaxWorkers: c.workers, Backoff: time.Second, MaxBackoff: time.Second, Slow: time.Second, Stuck: 30 * time.Second})
			many, other := new(Sender[put]), new(Sender[put])
			for range c.values {
				o.Put(many, put{many, time.Now()})
			}
			if c.workers > 1 {
				time.AfterFunc(150*time.Millisecond, func() { o.Put(other, put{other, time.Now()}) })
			}
			var count tries
			o.Work(t.Context(), func(_ context.Context, v put, _ int) error {
				if v.sender == other {
					if late := time.Since(v.at); late > 0 {
						t.Errorf("%d workers: the other sender's value waited %v", c.workers, late)
					}
					return nil
				}
				defer count.begin()()
				time.Sleep(100 * time.Millisecond)
				return nil
			}, empty(o))
			if len(count.times) != c.values || count.most != c.most {
				t.Errorf("%d workers: %d attempts at %d values, %d at a time, want %d", c.workers, len(count.times), c.values, count.most, c.most)
			}
		})
	}
}

// TestAttemptsThatNeverReturn lets all attempts of some senders hang. Values of others are
// delivered in time, and Work ends soon after its context.
func TestAttemptsThatNeverReturn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := New[int](options())
		release := make(chan struct{})
		var mu sync.Mutex // guards what follows
		var delivered []time.Duration
		hung := 0
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			o.Work(ctx, func(_ context.Context, v, _ int) error {
				mu.Lock()
				if v >= 0 {
					defer mu.Unlock()
					delivered = append(delivered, time.Duration(time.Now().UnixNano()-int64(v)))
					return nil
				}
				hung++
				mu.Unlock()
				<-release
				return errors.New("released")
			}, func() bool { return false })
		}()
		senders, good := make([]Sender[int], 6), new(Sender[int])
		for range 100 {
			for i := range senders {
				o.Put(&senders[i], -1)
			}
			o.Put(good, int(time.Now().UnixNano()))
			time.Sleep(3 * time.Second)
		}
		mu.Lock()
		if late := slices.Max(delivered[20:]); len(delivered) < 99 || late > time.Second {
			t.Errorf("%d of 100 good values are delivered, the latest %v after it was put", len(delivered), late)
		}
		if hung < 6*2 || hung > 6*12 {
			t.Errorf("%d attempts hang of 6 senders, want about one each 30 s of four slow workers", hung)
		}
		mu.Unlock()
		begun := time.Now()
		cancel()
		<-ended
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("Work ended %v after its context", took)
		}
		close(release)
		synctest.Wait()
		if n := len(o.Values()); n != 600 {
			t.Errorf("%d values are left, want the 600 that hang", n)
		}
	})
}
