package rollup

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// TestBuilderAfterItsClockWasSet sets the clock of a builder ahead and back. It builds every minute and hour all the same, once
// its clock is right again, and does not read the index for each hour that the clock skipped.
func TestBuilderAfterItsClockWasSet(t *testing.T) {
	t.Parallel()
	const hour, years = time.Hour, 10 * 365 * 24 * time.Hour
	for name, c := range map[string]struct {
		ahead []time.Duration // in each hour
		keep  []time.Duration
	}{
		"an hour for an hour":         {ahead: []time.Duration{0, hour, 0}},
		"an hour for three":           {ahead: []time.Duration{0, hour, hour, hour, 0}},
		"an hour for five":            {ahead: []time.Duration{0, hour, hour, hour, hour, hour, 0}},
		"from the start":              {ahead: []time.Duration{hour, hour, hour, hour, hour, 0}},
		"step by step":                {ahead: []time.Duration{0, hour, 2 * hour, 2 * hour, hour, hour, 0}},
		"back by too much":            {ahead: []time.Duration{0, hour, hour, hour, -hour, 0, 0}},
		"an hour, levels that stay":   {ahead: []time.Duration{0, hour, hour, hour, 0}, keep: []time.Duration{24 * hour, 0, 0, 0}},
		"ten years":                   {ahead: []time.Duration{0, years, years, years, years, 0}},
		"ten years, levels that stay": {ahead: []time.Duration{0, years, years, years, years, 0}, keep: []time.Duration{24 * hour, 0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, ahead := newHall(t), atomic.Int64{}
				reads := &counted{Index: h.index}
				b := h.builder(func(o *Options) {
					o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
					o.Index, o.Settings.Keep = reads, c.keep
				})
				time.Sleep(time.Until(midnight().Add(24 * hour)))
				for _, by := range c.ahead {
					ahead.Store(int64(by))
					b.Asked("a")
					for range 60 {
						h.fill("a", time.Now(), time.Now().Add(time.Minute), 20*time.Second)
						h.run(b, time.Minute)
					}
				}
				h.run(b, 11*time.Minute)
				h.want("a", 60*len(c.ahead), len(c.ahead), 0)
				if n := reads.n.Load(); n > 20_000 {
					t.Errorf("the builder read the index %d times", n)
				}
			})
		})
	}
}

// counted counts the queries of an index.
type counted struct {
	index.Index
	n atomic.Int64
}

func (c *counted) Query(ctx context.Context, row index.Row, from, to int64) ([]index.Entry, error) {
	c.n.Add(1)
	return c.Index.Query(ctx, row, from, to)
}

// TestBuildsThatWaitWhenTheClockIsSetBack has a build fail while the clock is ten years ahead. It is tried again soon after
// the clock is right.
func TestBuildsThatWaitWhenTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, ahead := newHall(t), atomic.Int64{}
		b := h.builder(func(o *Options) { o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) } })
		h.fill("a", midnight(), midnight().Add(10*time.Minute), 20*time.Second)
		time.Sleep(30 * time.Minute)
		h.run(b, time.Minute)
		ahead.Store(int64(10 * 365 * 24 * time.Hour))
		h.shelf.set(func(s *shelf) { s.err = errors.New("the store is away") })
		for m := range 10 {
			b.Offer(levels.SpanAt("a", time.Minute, midnight().Add(time.Duration(m)*time.Minute).UnixNano()))
		}
		h.run(b, 10*time.Minute)
		h.shelf.set(func(s *shelf) { s.err = nil })
		ahead.Store(0)
		h.run(b, 10*time.Minute)
		h.want("a", 10, 0, 0)
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
