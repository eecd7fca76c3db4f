package bucket_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
)

// gate holds every fetch until it is opened, or until the fetch's context ends.
type gate struct{ open chan struct{} }

func newGate(p *past) *gate {
	g := &gate{open: make(chan struct{})}
	p.blobs.inject(func(ctx context.Context, keys []string) ([]string, error) {
		select {
		case <-g.open:
			return nil, nil
		case <-ctx.Done():
			return keys, ctx.Err()
		}
	})
	return g
}

// TestOneFlight lets many ask for a cold range at once, whole and cut.
func TestOneFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPast(t, nil, longAgo())
		keys := []string{p.add(t, "a", after(1)), p.add(t, "a", after(3)), p.add(t, "a", after(4)), p.add(t, "a", after(7))}
		g := newGate(p)
		var asking sync.WaitGroup
		for range 20 {
			asking.Go(func() { p.check(t, "a", after(1), after(8)) })
		}
		synctest.Wait()
		close(g.open)
		asking.Wait()
		p.checkFetched(t, 1, keys...)
	})
}

// TestOverlappingFlights lets a second range fetch only what the first does not.
func TestOverlappingFlights(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPast(t, nil, longAgo())
		var keys []string
		for i := range 6 {
			keys = append(keys, p.add(t, "a", after(float64(3*i))), p.add(t, "a", after(float64(3*i+1))))
		}
		g := newGate(p)
		var asking sync.WaitGroup
		asking.Go(func() { p.check(t, "a", after(0), after(12)) })
		synctest.Wait()
		p.checkFetched(t, 1, keys[:8]...)
		asking.Go(func() { p.check(t, "a", after(6), after(18)) })
		synctest.Wait()
		p.checkFetched(t, 2, keys...)
		close(g.open)
		asking.Wait()
	})
}

// TestLateEntryDuringAFlight starts a flight of its own: the one that is under
// way does not know of the entry.
func TestLateEntryDuringAFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPast(t, nil, longAgo())
		p.add(t, "a", after(0))
		g := newGate(p)
		var asking sync.WaitGroup
		asking.Go(func() {
			if got, err := p.Range(t.Context(), "a", after(0), after(3)); len(got) != 1 || err != nil {
				t.Errorf("the question before the late entry: %v, %v", got, err)
			}
		})
		synctest.Wait()
		p.add(t, "a", after(1))
		asking.Go(func() { p.check(t, "a", after(0), after(3)) })
		synctest.Wait()
		close(g.open)
		asking.Wait()
		p.check(t, "a", after(0), after(3))
	})
}

// TestCancelledCallers gives up as the one who fetches and as one who waits.
func TestCancelledCallers(t *testing.T) {
	t.Parallel()
	for name, leaderLeaves := range map[string]bool{"who fetches": true, "who waits": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPast(t, nil, longAgo())
				p.add(t, "a", after(0))
				p.add(t, "a", after(4))
				g := newGate(p)
				ctx, cancel := context.WithCancel(t.Context())
				var asking sync.WaitGroup
				leave := func() {
					if got, err := p.Range(ctx, "a", after(0), after(5)); !errors.Is(err, context.Canceled) || got != nil {
						t.Errorf("the caller who gave up got %v, %v", got, err)
					}
				}
				stay := func() { p.check(t, "a", after(0), after(5)) }
				if !leaderLeaves {
					leave, stay = stay, leave
				}
				asking.Go(leave)
				synctest.Wait()
				for range 5 {
					asking.Go(stay)
				}
				if !leaderLeaves {
					asking.Go(func() { p.check(t, "a", after(0), after(5)) })
				}
				synctest.Wait()
				cancel()
				synctest.Wait()
				close(g.open)
				asking.Wait()
			})
		})
	}
}

// TestHangingStore is an error when the caller's time is up, and right after.
func TestHangingStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPast(t, nil, longAgo())
		p.add(t, "a", after(0))
		newGate(p)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		if got, err := p.Range(ctx, "a", after(0), after(3)); !errors.Is(err, context.DeadlineExceeded) || got != nil {
			t.Errorf("got %v, %v", got, err)
		}
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("it took %v, want the minute that the caller had", took)
		}
		p.blobs.inject(nil)
		p.check(t, "a", after(0), after(3))
	})
}

// TestOthersFault is not a caller's who did not ask for the key that failed.
func TestOthersFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("does not decode")
		p := newPast(t, nil, longAgo())
		bad := p.add(t, "a", after(0))
		p.add(t, "a", after(3))
		p.add(t, "a", after(4))
		open := make(chan struct{})
		p.blobs.inject(func(context.Context, []string) ([]string, error) {
			<-open
			return []string{bad}, broken
		})
		var asking sync.WaitGroup
		asking.Go(func() {
			if _, err := p.Range(t.Context(), "a", after(0), after(6)); !errors.Is(err, broken) {
				t.Errorf("the question with the bad key: %v", err)
			}
		})
		synctest.Wait()
		asking.Go(func() { p.check(t, "a", after(3), after(6)) })
		synctest.Wait()
		close(open)
		asking.Wait()
		if calls, _ := p.blobs.asked(); calls != 1 {
			t.Errorf("%d calls, want the second caller to have waited for the first one's", calls)
		}
	})
}

// TestFlightsOfBusyRange hammers one range with short-lived callers.
func TestFlightsOfBusyRange(t *testing.T) {
	t.Parallel()
	p := newPast(t, nil, &bucket.QuantizerOptions[counts]{CacheBytes: -1})
	for i := range 30 {
		p.add(t, "a", after(float64(i)))
	}
	var asking sync.WaitGroup
	for i := range 8 {
		asking.Go(func() {
			for n := range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				if (n+i)%3 == 0 {
					go cancel()
				}
				got, err := p.Range(ctx, "a", after(0.5), after(float64(3+n%27)))
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("range: %v", err)
				}
				if err == nil && len(got) != len(p.want("a", after(0.5), after(float64(3+n%27)))) {
					t.Errorf("range up to %d: got %v", 3+n%27, got)
				}
				cancel()
			}
		})
	}
	asking.Wait()
	p.checkUnchanged(t)
}
