package bucket_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
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

// checkedBlobs adds blobs and counts what they are checked and decoded for.
type checkedBlobs struct {
	*resting
	checks, early int
}

func (c *checkedBlobs) add(t *testing.T, tenant string, values ...int) {
	t.Helper()
	for _, v := range values {
		err := c.AddBlob(t.Context(), tenant, bucket.Encoded[ids]{Blob: fmt.Appendf(nil, "[ %d ]", v),
			Check:  func() error { c.checks++; return nil },
			Decode: func() (ids, error) { c.early++; return ids{v}, nil }}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// wants compares the checks, and the decodings when blobs came and later, since the last call.
func (c *checkedBlobs) wants(t *testing.T, what string, checks, early int, later int64) {
	t.Helper()
	if n := c.decodes.Load(); c.checks != checks || c.early != early || n != later {
		t.Errorf("%s: %d checks, %d blobs decoded when they came and %d later, want %d, %d, %d", what, c.checks, c.early, n, checks, early, later)
	}
	c.checks, c.early = 0, 0
	c.decodes.Store(0)
}

// TestBlobsOfABusyTickAreReadOnce checks that a blob which is likely to be merged is decoded when it comes, in
// place of its check, and not again when it is merged.
func TestBlobsOfABusyTickAreReadOnce(t *testing.T) {
	t.Parallel()
	for _, journaled := range []bool{false, true} {
		c := &checkedBlobs{resting: newResting(t, func(o *bucket.CollectorOptions[ids]) {
			o.MergeLater = true
			if journaled {
				o.Journal = newMemJournal()
			}
		})}
		c.add(t, "a", 0, 1, 2)
		c.wants(t, "three blobs", 1, 2, 0)
		c.tick(t)
		c.wants(t, "their merge", 0, 0, 1)
		c.add(t, "a", 3, 4)
		c.wants(t, "two blobs after a busy tick", 0, 2, 0)
		h, err := c.Held(t.Context(), "a", c.now, c.now.Add(time.Hour))
		wantIDs(t, "the open tick", h.Open, err, ids{3, 4})
		c.add(t, "a", 5)
		h, err = c.Held(t.Context(), "a", c.now, c.now.Add(time.Hour))
		wantIDs(t, "the open tick and one more", h.Open, err, ids{3, 4, 5})
		c.tick(t)
		c.wants(t, "a question and the merge", 0, 1, 0)
		c.add(t, "a", 6)
		c.tick(t)
		c.wants(t, "one blob after a busy tick", 0, 1, 0)
		if n := c.encodes.Load(); n != 2 {
			t.Errorf("%d encodings: a blob that stayed alone is not stored as it came", n)
		}
		c.add(t, "a", 7)
		c.wants(t, "a blob after a tick of one", 1, 0, 0)
		if n := c.Early(); n != 0 {
			t.Errorf("%d bytes of decoded values are kept for nothing", n)
		}
		c.tick(t)
		wantIDs(t, "stored", c.stored(t, "a"), nil, upTo(8))
	}
}

// TestDecodedBlobsAreBounded checks that blobs are checked and not decoded when there is no room for their values, and
// that values which nobody merges are let go.
func TestDecodedBlobsAreBounded(t *testing.T) {
	t.Parallel()
	r := restingWith(t, index.NewMemIndex(), mergeIDs, func(_ *resting, opts *bucket.CollectorOptions[ids]) {
		opts.MergeLater, opts.LiveCacheBytes = true, 2*5*16
		opts.Size = func(v ids) int64 { return 1 }
	})
	c := &checkedBlobs{resting: r}
	c.add(t, "a", upTo(5)...)
	c.wants(t, "room for one value", 4, 1, 0)
	if n := c.Early(); n != 1 {
		t.Errorf("values of %d bytes wait", n)
	}
	if _, err := c.Delete(t.Context(), "a", c.now.Add(-time.Hour), c.now.Add(time.Hour), now); err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(time.Minute)
	c.tick(t)
	if n := c.Early(); n != 0 {
		t.Errorf("values of %d bytes wait for a tick that was deleted", n)
	}
}

// TestABlobThatIsRefusedWhenItComesChangesNothing has Decode refuse a blob of a busy tick.
func TestABlobThatIsRefusedWhenItComesChangesNothing(t *testing.T) {
	t.Parallel()
	c := &checkedBlobs{resting: newResting(t, mergeLater)}
	c.add(t, "a", 0, 1)
	before := c.Pending()
	e := bucket.Encoded[ids]{Blob: []byte("[ 2 ]"), Check: func() error { return nil }, Decode: func() (ids, error) { return nil, errBroken }}
	if err := c.AddBlob(t.Context(), "a", e, &bucket.AddOptions{ID: "x"}); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	if n := c.Pending(); n != before {
		t.Errorf("%d bytes pending, were %d", n, before)
	}
	e.Decode = func() (ids, error) { return ids{2}, nil }
	if err := c.AddBlob(t.Context(), "a", e, &bucket.AddOptions{ID: "x"}); err != nil {
		t.Fatal(err)
	}
	c.tick(t)
	wantIDs(t, "stored", c.stored(t, "a"), nil, ids{0, 1, 2})
}

// TestARefusedBlobKeepsNoValue fills what may be pending while the first blob of a tick is
// decoded. The blob is refused, and its value takes no room of the values that wait.
func TestARefusedBlobKeepsNoValue(t *testing.T) {
	t.Parallel()
	c := &checkedBlobs{resting: newResting(t, func(o *bucket.CollectorOptions[ids]) {
		o.MergeLater, o.MaxPending, o.MaxTenantPending = true, 100, 100
	})}
	c.add(t, "a", 0, 1)
	c.tick(t)
	e := bucket.Encoded[ids]{Blob: []byte("[ 2 ]"), Check: func() error { return nil }, Decode: func() (ids, error) {
		mustAdd(t, c.Collector, "b", upTo(98)...)
		return ids{2}, nil
	}}
	err := c.AddBlob(t.Context(), "a", e, nil)
	if _, full := errors.AsType[*bucket.FullError](err); !full {
		t.Errorf("got %v", err)
	}
	if n := c.Early(); n != 0 {
		t.Errorf("%d bytes are kept of a value that was refused", n)
	}
}
