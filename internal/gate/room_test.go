package gate

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestRoomOfStuckCalls fills a room with calls that do not return. Calls that wait get
// in after the room's patience. What returns late gives nothing back twice.
func TestRoomOfStuckCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := NewRoom(10, time.Minute)
		take := func(size int64, wait time.Duration) *Lease {
			t.Helper()
			l, begun := &Lease{Owners: []string{"a", "b"}}, time.Now()
			if err := r.Take(t.Context(), size, l); err != nil || time.Since(begun) != wait {
				t.Fatalf("took %d after %v, %v; want after %v", size, time.Since(begun), err, wait)
			}
			return l
		}
		first := take(6, 0)
		time.Sleep(10 * time.Second)
		second := take(4, 0)
		third := take(3, 50*time.Second)
		fourth := take(7, 10*time.Second) // 3 are free, and 4 more once the second is stuck
		if n := r.Stuck("a"); n != 2 || r.Stuck("b") != 2 {
			t.Errorf("%d calls are stuck, want 2", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Take(ctx, 9, new(Lease)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no room: %v", err)
		}
		for _, l := range []*Lease{second, fourth, first, third} {
			l.End()
		}
		if n := r.Stuck("a"); n != 0 || r.Stuck("b") != 0 {
			t.Errorf("%d calls are stuck after all have returned", n)
		}
		take(10, 0).End()
		take(100, 0).End() // cut to the room
		if r.free.TryAcquire(11) || r.first != nil || r.last != nil {
			t.Error("the room has grown, or has leases")
		}
	})
}

// TestRoomIsShared lets many goroutines take parts of a room, so that the race detector
// sees them.
func TestRoomIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, used := NewRoom(8, time.Hour), int64(0)
		var mu sync.Mutex // guards used
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() {
				for range 10 {
					l, size := new(Lease), int64(1+i%8)
					if err := r.Take(t.Context(), size, l); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if used += size; used > 8 {
						t.Errorf("%d of 8 are used", used)
					}
					mu.Unlock()
					time.Sleep(time.Millisecond)
					mu.Lock()
					used -= size
					mu.Unlock()
					l.End()
				}
			})
		}
		all.Wait()
	})
}

// TestCrew waits for calls that return, leaves alone a call that takes too long, and
// leaves all when the context ends.
func TestCrew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, hang := NewCrew(2, time.Minute), make(chan struct{})
		call := func(f func()) *Call {
			t.Helper()
			one, err := c.Go(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			return one
		}
		begun := time.Now()
		stuck := call(func() { <-hang })
		quick := call(func() { time.Sleep(time.Second) })
		left := c.Wait(t.Context(), []*Call{stuck, quick})
		if len(left) != 1 || left[0] != stuck || !c.Hangs(stuck) || c.Hangs(quick) || time.Since(begun) != time.Minute {
			t.Errorf("%d calls are left after %v", len(left), time.Since(begun))
		}
		more := []*Call{call(func() { <-hang }), call(func() { <-hang })} // the first one's place is free
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		begun = time.Now()
		if left := c.Wait(ctx, more); len(left) != 2 || time.Since(begun) != leaving {
			t.Errorf("%d calls are left after %v", len(left), time.Since(begun))
		}
		close(hang)
		synctest.Wait()
		if left := c.Wait(t.Context(), append(more, stuck)); len(left) != 0 {
			t.Errorf("%d calls are left after all have returned", len(left))
		}
	})
}
