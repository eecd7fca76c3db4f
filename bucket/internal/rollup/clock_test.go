package rollup

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestBuilderAfterItsClockWasSet has the clock of a builder be an hour ahead for an hour. It builds every minute all the same,
// once its clock is right again.
func TestBuilderAfterItsClockWasSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, ahead := newHall(t), atomic.Int64{}
		b := h.builder(func(o *Options) { o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) } })
		hour := func() {
			for range 60 {
				h.fill("a", time.Now(), time.Now().Add(time.Minute), 20*time.Second)
				h.run(b, time.Minute)
			}
		}
		time.Sleep(midnight().Add(24 * time.Hour).Sub(time.Now()))
		b.Asked("a")
		hour()
		ahead.Store(int64(time.Hour))
		hour()
		ahead.Store(0)
		hour()
		h.run(b, 11*time.Minute)
		h.want("a", 180, 3, 0)
	})
}

// TestClockSetBackDuringABuild has the clock go back while a span is built, which takes no time then.
func TestClockSetBackDuringABuild(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, calls := newHall(t), time.Duration(0)
		b := h.builder(func(o *Options) {
			o.Cores = 1
			o.Now = func() time.Time { calls++; return time.Now().Add(-calls * time.Millisecond) }
		})
		h.fill("a", midnight(), midnight().Add(10*time.Minute), 20*time.Second)
		time.Sleep(30 * time.Minute)
		b.Asked("a")
		h.run(b, time.Minute)
		h.want("a", 10, 0, 0)
		if busy := b.Stats()[0].Busy; busy != 0 {
			t.Errorf("builds took %v", busy)
		}
	})
}
