package bucket_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
)

// TestRule7FlushesAreBounded lets every put hang: as many as are allowed at a
// time have begun and, once those have failed, as many more of each lane.
func TestRule7FlushesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores(t)
		var puts atomic.Int64
		s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Hang: true,
			Match: func(faulttest.Call) bool { puts.Add(1); return true }})
		c := s.collector(t, &bucket.CollectorOptions[ids]{Flushes: 3, Deadline: 10 * time.Second})
		run := start(t, c)
		for i := range 20 {
			mustAdd(t, c, fmt.Sprint("t", i), i)
		}
		for _, want := range []int64{3, 3 + 3 + 3} {
			time.Sleep(9 * time.Second)
			if n := puts.Load(); n != want {
				t.Errorf("%d puts have begun, want %d", n, want)
			}
		}
		s.tier.Heal()
		run.end(t)
	})
}
