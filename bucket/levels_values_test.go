package bucket_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/tiered"
)

// TestValuesThatRetentionRemoved asks for single values when retention has removed
// none of them, some and all, and then minutes, too.
func TestValuesThatRetentionRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, begin := twoDays(t)
		time.Sleep(time.Until(begin.Add(4 * day)))
		l.wantValues(begin, begin.Add(2*day), 5760, time.Time{}, time.Time{}) // final, and all there
		l.expire(begin.Add(6*time.Hour + 20*time.Second))
		noon := begin.Add(12 * time.Hour)
		l.wantValues(begin.Add(5*time.Hour), noon, 719, begin.Add(5*time.Hour), noon)
		l.wantValues(begin.Add(6*time.Hour+30*time.Second), noon, 719, begin.Add(6*time.Hour), noon)
		l.wantValues(begin.Add(6*time.Hour+time.Minute), noon, 718, time.Time{}, time.Time{})
		l.wantValues(begin.Add(-day), begin, 0, time.Time{}, time.Time{})
		time.Sleep(time.Until(begin.Add(8*day + 12*time.Hour)))
		l.expire(time.Now().Add(-3 * day))
		l.wantValues(noon.Add(20*time.Minute), noon.Add(30*time.Minute), 0, noon, noon.Add(time.Hour))
	})
}

// wantValues asks for the values of a range. There must be so many, and, unless the
// first instant is zero, a *CoarserError that names the instants.
func (l *retaining) wantValues(from, to time.Time, count int, first, last time.Time) {
	l.Helper()
	check := func(err error) {
		l.Helper()
		coarser, gone := errors.AsType[*bucket.CoarserError](err)
		if gone == first.IsZero() || gone && (!coarser.NearestFrom.Equal(first) || !coarser.NearestTo.Equal(last)) {
			l.Errorf("values from %v to %v: error %v, want one from %v to %v", from, to, err, first, last)
		}
	}
	var failed error
	for _, failed = range l.past.Values(l.Context(), "a", from, to, nil) {
		if failed != nil {
			break
		}
	}
	check(failed)
	var missing error
	n := 0
	for v, err := range l.past.Values(l.Context(), "a", from, to, &bucket.RangeOptions{Partial: true}) {
		switch {
		case err != nil:
			l.Fatal(err)
		case v.Err != nil:
			missing = v.Err
		default:
			n++
		}
	}
	if check(missing); n != count {
		l.Errorf("%d values from %v to %v, want %d", n, from, to, count)
	}
}

// TestRollUpsAreClonedToBeEncoded encodes values with a codec that writes to them. Of a
// collector with Clone, no merge that questions share is written to.
func TestRollUpsAreClonedToBeEncoded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := rolled(t, time.Hour, &bucket.LevelOptions{})
		store, err := tiered.New(zeroing{}, l.blobs, nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := bucket.NewCollector(l.index, store, mergeIDs, &bucket.CollectorOptions[ids]{Clone: slices.Clone[ids],
			Past: bucket.QuantizerOptions[ids]{Levels: &bucket.LevelOptions{Owned: true}}})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now().Truncate(day)
		end := begin.Add(time.Hour)
		want, err := c.Range(t.Context(), "a", begin, end, nil)
		if err != nil {
			t.Fatal(err)
		}
		before := slices.Clone(want.Value)
		if done, err := c.RollUp(t.Context(), "a", begin, end, nil); err != nil || done.Built == 0 {
			t.Fatalf("%+v, %v", done, err)
		}
		if !slices.Equal(want.Value, before) {
			t.Error("an answer was written to")
		}
	})
}

// zeroing is idCodec that writes to what it encodes.
type zeroing struct{ idCodec }

func (z zeroing) Encode(v ids) ([]byte, error) {
	blob, err := z.idCodec.Encode(v)
	clear(v)
	return blob, err
}
