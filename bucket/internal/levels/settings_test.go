package levels_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// TestRetentionMayChange publishes settings with and without retention in turn. A
// span whose entries may be gone is final from then on.
func TestRetentionMayChange(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	now := time.Now()
	spans := []time.Duration{time.Minute}
	week := []time.Duration{7 * day, 100 * day}
	idx := index.NewMemIndex()
	old := levels.Place{Span: levels.SpanAt("a", time.Minute, now.Add(-8*day).UnixNano()),
		State: levels.State{Kind: levels.Sealed, Seal: &levels.Seal{Entries: 1}}}
	young := old
	young.Span = levels.SpanAt("a", time.Minute, now.Add(-2*day).UnixNano())
	for i, c := range []struct {
		keep       []time.Duration
		old, young bool // are final
	}{
		{nil, false, false},
		{week, true, false},
		{nil, true, false},                                  // stays as it is
		{[]time.Duration{0, 0}, true, false},                // ends, and what is gone stays gone
		{[]time.Duration{30 * day, 100 * day}, true, false}, // longer than before
		{[]time.Duration{day, 100 * day}, true, true},
		{[]time.Duration{0, 0}, true, true},
	} {
		p := levels.New(idx, nil)
		err := p.Publish(t.Context(), levels.Settings{Spans: spans, Lateness: time.Minute, Keep: c.keep}, true)
		s, e := p.Settings(t.Context())
		if err != nil || e != nil {
			t.Fatalf("%d: %v, %v", i, err, e)
		}
		if s.Final(&old, now) != c.old || s.Final(&young, now) != c.young {
			t.Errorf("%d: with %v the old span is final: %v, and the young one: %v", i, c.keep, s.Final(&old, now), s.Final(&young, now))
		}
	}
}

// TestLongerRetentionOfASharedIndex makes the retention of a table longer. Entries that
// were put before that still go when they would have gone.
func TestLongerRetentionOfASharedIndex(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		changed := time.Now()
		p := levels.New(index.NewMemIndex(), nil)
		var s levels.Settings
		for _, keep := range []time.Duration{7 * day, 30 * day} {
			own := levels.Settings{Spans: []time.Duration{time.Minute}, Lateness: time.Minute, Keep: []time.Duration{keep, 100 * day}, Grace: day}
			if err := p.Publish(t.Context(), own, false); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute)
		}
		s, err := p.Settings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ now, horizon time.Duration }{{0, -8 * day}, {5 * day, -3 * day}, {9 * day, 0}, {20 * day, 0}, {40 * day, 9 * day}} {
			got := time.Unix(0, s.Horizon(changed.Add(c.now))).Sub(changed)
			if got < c.horizon || got > c.horizon+5*time.Minute {
				t.Errorf("%v after the change, entries before %v of it may be gone; want %v", c.now, got, c.horizon)
			}
		}
	})
}
