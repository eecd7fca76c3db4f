package levels_test

import (
	"testing"
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
