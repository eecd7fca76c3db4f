package bucket_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
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
