package bucket_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/bucket"
)

func mergeLater(o *bucket.CollectorOptions[ids]) { o.MergeLater = true }

// TestBlobsOfABusyTickWait checks that the blobs of a tick are decoded when somebody
// asks or when the tick is flushed, and each of them once.
func TestBlobsOfABusyTickWait(t *testing.T) {
	t.Parallel()
	r := newResting(t, mergeLater)
	for i := range 3 {
		mustAddBlob(t, r.Collector, "a", i)
	}
	if n, m := r.decodes.Load(), r.Pending(); n != 0 || m != int64(3*len("[ 0 ]")) {
		t.Errorf("%d blobs decoded, %d bytes pending, before anybody asks", n, m)
	}
	if n := r.asked(t, ids{0, 1, 2}); n != 3 {
		t.Errorf("the first question decodes %d blobs, want 3", n)
	}
	mustAddBlob(t, r.Collector, "a", 3)
	if n := r.asked(t, ids{0, 1, 2, 3}); n != 1 {
		t.Errorf("the next question decodes %d blobs, want the one that came", n)
	}
	r.tick(t)
	if r.Pending() != 0 || r.encodes.Load() != 1 {
		t.Errorf("%d bytes pending, %d encodings", r.Pending(), r.encodes.Load())
	}
	for i := range 100 { // more than wait at a time
		mustAddBlob(t, r.Collector, "b", i)
	}
	before := r.decodes.Load()
	r.tick(t)
	if n := r.decodes.Load() - before; n > 64 {
		t.Errorf("a flush decodes %d blobs: too many waited", n)
	}
	v, err := r.Range(t.Context(), "b", r.now.Add(-time.Hour), r.now.Add(time.Hour), nil)
	var want ids
	for i := range 100 {
		want = append(want, i)
	}
	wantIDs(t, "b", v, err, want)
}

// TestMergeLaterAnswersAsMergeNow compares with a collector that merges each value
// when it is added, over random blobs, values, questions and ends of ticks.
func TestMergeLaterAnswersAsMergeNow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		now, later := newResting(t, nil), newResting(t, mergeLater)
		for i := range rapid.IntRange(1, 60).Draw(rt, "steps") {
			step := rapid.IntRange(0, 11).Draw(rt, "step")
			for _, r := range []*resting{now, later} {
				switch {
				case step == 0:
					r.tick(t)
				case step == 1:
					mustAdd(t, r.Collector, "a", i)
				case step > 2:
					mustAddBlob(t, r.Collector, "a", i)
				}
			}
			if step == 2 {
				at := now.now.Add(time.Minute)
				want, err := now.At(t.Context(), "a", at, nil)
				if err != nil {
					rt.Fatal(err)
				}
				got, err := later.At(t.Context(), "a", at, nil)
				wantIDs(rt, "now", got, err, want.Value)
			}
		}
		now.tick(t)
		later.tick(t)
		from, to := now.now.Add(-time.Hour), now.now.Add(time.Hour)
		want, err := now.Range(t.Context(), "a", from, to, nil)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := later.Range(t.Context(), "a", from, to, nil)
		wantIDs(rt, "all", got, err, want.Value)
		if n := later.Pending(); n != 0 {
			rt.Fatalf("%d bytes pending", n)
		}
	})
}

// TestWaitingBlobsThatCannotBeMergedAreStoredApart checks that a value that does not merge
// with others takes none of them with it.
func TestWaitingBlobsThatCannotBeMergedAreStoredApart(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	opts := fast()
	opts.MergeLater = true
	opts.Failed = func(_ string, v ids, err error) { t.Errorf("%v is lost: %v", v, err) }
	refuse := func(parts []ids) (ids, error) {
		if slices.ContainsFunc(parts, func(v ids) bool { return slices.Contains(v, 3) }) {
			return nil, errors.New("3 cannot be merged")
		}
		return mergeIDs(parts)
	}
	c, err := bucket.NewCollector(s.index, s.blobs, refuse, opts)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		mustAddBlob(t, c, "a", i)
	}
	if err := c.Flush(t.Context()); err != nil || c.Pending() != 0 {
		t.Errorf("%v, %d bytes pending", err, c.Pending())
	}
	wantIDs(t, "stored", s.stored(t, "a"), nil, ids{0, 1, 2, 3, 4, 5})
}
