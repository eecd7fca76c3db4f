package bucket_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
)

// TestFlushingKeepsUp stores 1 000 tenants' values of each tick, 333 a second, in
// a store that takes 60 ms for each: with ten at a time the backlog would grow
// for ever.
func TestFlushingKeepsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores(t)
		s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Delay: 60 * time.Millisecond})
		c := s.collector(t, nil)
		run := start(t, c)
		for tick := range 5 {
			for i := range 1000 {
				mustAdd(t, c, fmt.Sprint("t", i), tick)
			}
			time.Sleep(3 * time.Second)
			if st := c.Stats(); tick > 0 && (st.Values > 1000 || st.OldestSealed > 3*time.Second) {
				t.Errorf("tick %d: %d values wait, the oldest for %v", tick, st.Values, st.OldestSealed)
			}
		}
		time.Sleep(2900 * time.Millisecond)
		if st := c.Stats(); st.Values != 0 || st.Bytes != 0 || st.Tenants != 1000 {
			t.Errorf("after the last tick: %+v", st)
		}
		run.end(t)
	})
}

// TestFallingBehindIsMeasured lets a store hang: the age of the oldest value is
// in the metrics and in Stats.
func TestFallingBehindIsMeasured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores(t)
		s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Hang: true})
		registry := prometheus.NewRegistry()
		c := s.collector(t, &bucket.CollectorOptions[ids]{Registerer: registry})
		run := start(t, c)
		mustAdd(t, c, "a", 1)
		time.Sleep(33*time.Second + 1)
		if age := c.Stats().OldestSealed; age != 30*time.Second+1 {
			t.Errorf("the oldest value has waited for %v, want 30s and 1ns", age)
		}
		if n, err := testutil.GatherAndCount(registry, "timeblob_pending_oldest_seconds"); n != 1 || err != nil {
			t.Fatalf("%d gauges, %v", n, err)
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "timeblob_pending_oldest_seconds" && f.GetMetric()[0].GetGauge().GetValue() != 30 {
				t.Errorf("the gauge says %v, want 30", f.GetMetric()[0].GetGauge())
			}
		}
		s.tier.Heal()
		run.end(t)
		if st := c.Stats(); st.Values != 0 || st.OldestSealed != 0 {
			t.Errorf("after the store healed: %+v", st)
		}
	})
}
