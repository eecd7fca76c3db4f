package worker

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestPool checks that no more jobs are done at a time, and no more wait, than may;
// each ends in its time, and close waits for all.
func TestPool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := New(2, 3, time.Second)
		var begun, ended atomic.Int64
		job := func(ctx context.Context) {
			begun.Add(1)
			<-ctx.Done()
			ended.Add(1)
		}
		for i := range 7 {
			if got := c.Try(job); got != (i < 5) {
				t.Errorf("job %d: taken %v", i, got)
			}
		}
		synctest.Wait()
		if begun.Load() != 2 {
			t.Errorf("%d are being done", begun.Load())
		}
		time.Sleep(1500 * time.Millisecond)
		if begun.Load() != 4 || ended.Load() != 2 {
			t.Errorf("%d begun and %d ended after their time", begun.Load(), ended.Load())
		}
		for i := range 3 { // two have made room
			if got := c.Try(job); got != (i < 2) {
				t.Errorf("job %d after that: taken %v", i, got)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		c.Close(ctx)
		if took := time.Since(start); took != 100*time.Millisecond || ended.Load() != 7 {
			t.Errorf("close took %v, %d of 7 ended", took, ended.Load())
		}
		if c.Try(job) {
			t.Error("a job was taken after close")
		}
		c.Close(t.Context())
	})
}

// TestPoolCloses checks that close lets jobs end by themselves while there is time.
func TestPoolCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := New(1, 10, time.Second)
		var done atomic.Int64
		for range 5 {
			c.Try(func(ctx context.Context) {
				time.Sleep(50 * time.Millisecond)
				if ctx.Err() == nil {
					done.Add(1)
				}
			})
		}
		c.Close(t.Context())
		if done.Load() != 5 {
			t.Errorf("%d of 5 done", done.Load())
		}
	})
}
