package bucket_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/bucket"
)

// TestEveryAnswerHoldsEveryValueOnce asks without pause while values arrive,
// are sealed, flushed, and fail to be: each answer must hold every value that
// was acknowledged before the question, and none twice.
func TestEveryAnswerHoldsEveryValueOnce(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	s.flaky()
	opts := fast()
	opts.Tick, opts.Window = time.Millisecond, time.Second
	checkAnswers(t, s.collector(t, opts))
	if got := s.stored(t, "a"); !slices.Equal(got, upTo(len(got))) {
		t.Error("stored values are lost or twice")
	}
}

// checkAnswers lets one goroutine add numbers and others ask.
func checkAnswers(t *testing.T, c *bucket.Collector[ids]) {
	t.Helper()
	r := start(t, c)
	begun := time.Now()
	var added atomic.Int64
	var workers sync.WaitGroup
	workers.Go(func() {
		for i := range 400 {
			if err := c.Add(t.Context(), "a", ids{i}, nil); err != nil {
				t.Error(err)
				return
			}
			added.Store(int64(i + 1))
			time.Sleep(100 * time.Microsecond)
		}
	})
	for range 3 {
		workers.Go(func() {
			for added.Load() < 400 && !t.Failed() {
				least := int(added.Load())
				a, err := c.Range(t.Context(), "a", begun, time.Now().Add(time.Hour), nil)
				if err != nil || a.Entries == 0 && least > 0 || len(a.Value) < least || !slices.Equal(a.Value, upTo(len(a.Value))) {
					t.Errorf("after %d: got %v, error %v", least, a.Value, err)
				}
			}
		})
	}
	workers.Wait()
	r.end(t)
}

// TestCollectorIsItsValues compares random histories, with a store that fails
// at random, with a plain list of the added values and the times of their seals.
func TestCollectorIsItsValues(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := newStores(t)
		m := history{now: time.Unix(1_700_000_000, 0), ticked: time.Unix(1_700_000_000, 0)}
		opts := fast()
		opts.Now = func() time.Time { return m.now }
		c := s.collector(t, opts)
		for range rapid.IntRange(1, 60).Draw(rt, "operations") {
			switch rapid.SampledFrom([]string{"add", "add", "add blob", "add blob", "flush", "wait", "fail", "ask", "ask"}).Draw(rt, "operation") {
			case "add":
				mustAdd(t, c, "a", m.add())
			case "add blob":
				mustAddBlob(t, c, "a", m.add())
			case "flush":
				s.heal()
				if err := c.Flush(t.Context()); err != nil {
					rt.Fatal(err)
				}
				m.seal()
			case "wait":
				m.now = m.now.Add(time.Duration(rapid.Int64Range(1, int64(20*time.Second)).Draw(rt, "time")))
			case "fail":
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				_ = c.Flush(ctx) // seals, and delivers nothing
				m.seal()
			case "ask":
				from := rapid.Int64Range(-int64(time.Minute), int64(time.Second)).Draw(rt, "from")
				length := rapid.Int64Range(0, int64(time.Minute)).Draw(rt, "length")
				start := m.now.Add(time.Duration(from))
				end := start.Add(time.Duration(length))
				a, err := c.Range(t.Context(), "a", start, end, nil)
				wantIDs(rt, fmt.Sprint("range ", start, end), a, err, m.between(start, end))
				if provisional := !a.Provisional.IsZero(); provisional != end.After(m.ticked) || provisional && !a.Provisional.Equal(m.ticked) {
					rt.Fatalf("range %v to %v: provisional from %v, last sealed at %v", start, end, a.Provisional, m.ticked)
				}
			}
		}
	})
}

func (s *stores) heal() {
	s.tier.Heal()
	s.index.Heal()
}

// history is what a collector was given.
type history struct {
	now, last time.Time
	ticked    time.Time // when ticks were sealed last
	sealed    []struct {
		at     time.Time
		values ids
	}
	current ids
	begun   time.Time // when the first of current was added
	next    int
}

func (h *history) add() int {
	if len(h.current) == 0 {
		h.begun = h.now
	}
	h.current = append(h.current, h.next)
	h.next++
	return h.next - 1
}

// seal ends a tick. Its instant is the clock's, or the next nanosecond after the
// last tick's, even when the collector has let the idle tenant go meanwhile.
func (h *history) seal() {
	h.ticked = h.now
	if len(h.current) == 0 {
		return
	}
	h.last = later(h.now, h.last.Add(1))
	h.sealed = append(h.sealed, struct {
		at     time.Time
		values ids
	}{h.last, h.current})
	h.current = nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// reaches reports whether a range reaches into the open tick.
func (h *history) reaches(from, to time.Time) bool {
	now := later(h.now, h.last.Add(1))
	return from.Before(to) && !now.Before(from) && (now.Before(to) || to.After(later(h.begun, later(h.ticked, h.last))))
}

func (h *history) between(from, to time.Time) (v ids) {
	for _, s := range h.sealed {
		if !s.at.Before(from) && s.at.Before(to) {
			v = append(v, s.values...)
		}
	}
	if h.reaches(from, to) {
		v = append(v, h.current...)
	}
	slices.Sort(v)
	return v
}
