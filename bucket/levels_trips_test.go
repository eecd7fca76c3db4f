package bucket_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// far is an index in another process: each request takes a second.
type far struct{ near *clocked }

func (x far) Put(ctx context.Context, row index.Row, e index.Entry) error {
	time.Sleep(time.Second)
	return x.near.Put(ctx, row, e)
}

func (x far) Query(ctx context.Context, row index.Row, from, to int64) ([]index.Entry, error) {
	time.Sleep(time.Second)
	return x.near.Query(ctx, row, from, to)
}

func (x far) Places(ctx context.Context, set index.PlaceSet, from, to int64) ([]index.Place, error) {
	time.Sleep(time.Second)
	return x.near.Places(ctx, set, from, to)
}

func (x far) SwapPlace(ctx context.Context, set index.PlaceSet, old string, next index.Place) (bool, error) {
	time.Sleep(time.Second)
	return x.near.SwapPlace(ctx, set, old, next)
}

func (x far) StoreTime() time.Time { return x.near.StoreTime() }

// TestRoundTrips counts the requests to an index in another process that a question
// makes one after the other. Each request takes a second of a bubble's time.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const hour, day = time.Hour, 24 * time.Hour
		begin := noon.Truncate(day)
		now := begin.Add(3*day + 13*hour + 47*time.Minute + 33*time.Second)
		h := newWeeks(t, begin, now)
		q, err := bucket.NewQuantizer(far{h.index}, h.store, sumOf, &bucket.QuantizerOptions[int]{
			Size: func(int) int64 { return 8 }, Now: h.index.StoreTime})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(what string, from, to time.Time, most int) {
			t.Helper()
			began := time.Now()
			a, err := q.Range(t.Context(), "a", from, to, nil)
			trips := int(time.Since(began) / time.Second)
			if want := int(to.Sub(from) / apart); err != nil || a.Value != want {
				t.Fatalf("%s: got %+v, %v, want %d", what, a, err, want)
			}
			if trips > most {
				t.Errorf("%s: %d round trips, want %d", what, trips, most)
			}
		}
		from, to := begin.Add(11*hour+29*time.Minute+30*time.Second), begin.Add(3*day+5*hour+9*time.Second)
		ask("the process's first question, which reads the settings", from, to, 2)
		ask("the same again", from, to, 1)
		for i := range 45 {
			d := time.Duration(i+1) * 31 * apart
			ask("a moved question", from.Add(d), to.Add(d), 1)
		}
		ask("a question that ends now", from, now, 1)
		h.index.now.Add(int64(5 * time.Minute))
		ask("the settings are old", from, to, 1)
		began := time.Now()
		has, err := q.Has(t.Context(), "a", from, to)
		if trips := time.Since(began) / time.Second; !has || err != nil || trips > 1 {
			t.Errorf("has: %v, %v, after %d round trips, want 1", has, err, trips)
		}
		began = time.Now()
		for s, err := range q.Steps(t.Context(), "a", from.Truncate(hour), to, hour, nil) {
			if want := int(s.To.Sub(s.From) / apart); err != nil || s.Value != want {
				t.Fatalf("a step from %v: %+v, %v, want %d", s.From, s.Answer, err, want)
			}
		}
		if trips := time.Since(began) / time.Second; trips > 1 {
			t.Errorf("steps: %d round trips, want 1", trips)
		}
		// A broken seal is a wrong guess, once.
		h.breakAt(t, hour, begin.Add(2*day+3*hour))
		h.breakAt(t, day, begin.Add(2*day))
		ask("after a day and an hour of it were broken", from, to, 3)
		ask("the same again", from, to, 1)
	})
}

func sumOf(parts []int) (total int, err error) {
	for _, n := range parts {
		total += n
	}
	return total, nil
}

// breakAt breaks the seal of a span.
func (h *weeks) breakAt(t *testing.T, level time.Duration, at time.Time) {
	t.Helper()
	place, err := h.protocol.Place(t.Context(), levels.SpanAt("a", level, at.UnixNano()))
	if err == nil {
		err = h.protocol.Break(t.Context(), place)
	}
	if err != nil {
		t.Fatal(err)
	}
}
