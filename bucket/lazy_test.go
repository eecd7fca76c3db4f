package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
)

// resting is a collector whose clock stands still until it is moved.
type resting struct {
	*bucket.Collector[ids]
	*stores
	now time.Time
}

func newResting(t *testing.T, change func(*bucket.CollectorOptions[ids])) *resting {
	t.Helper()
	return restingWith(t, nil, mergeIDs, func(_ *resting, opts *bucket.CollectorOptions[ids]) {
		opts.Size = func(v ids) int64 { return int64(len(v)) }
		if change != nil {
			change(opts)
		}
	})
}

// restingWith is newResting with another index, unless it is nil, and another merge. The function may change the stores, too.
func restingWith(t *testing.T, idx index.Index, merge bucket.Merge[ids], change func(*resting, *bucket.CollectorOptions[ids])) *resting {
	t.Helper()
	r := &resting{stores: newStores(t), now: time.Now().Add(-time.Hour)}
	opts := fast()
	opts.Now = func() time.Time { return r.now }
	change(r, opts)
	if idx == nil {
		idx = r.index
	}
	var err error
	if r.Collector, err = bucket.NewCollector(idx, r.blobs, merge, opts); err != nil {
		t.Fatal(err)
	}
	return r
}

// tick stores the open tick; the next one ends a second later.
func (r *resting) tick(t *testing.T) {
	t.Helper()
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(time.Second)
}

// asked returns how many blobs a question about now decodes, which must be
// answered with those values.
func (r *resting) asked(t *testing.T, want ids) int64 {
	t.Helper()
	before := r.decodes.Load()
	v, err := r.At(t.Context(), "a", r.now.Add(time.Minute), nil)
	wantIDs(t, "now", v, err, want)
	return r.decodes.Load() - before
}

// TestBlobsAreStoredAsTheyCame checks that what came alone in its tick, as a blob, is
// stored as that blob, and neither encoded nor decoded until somebody asks.
func TestBlobsAreStoredAsTheyCame(t *testing.T) {
	t.Parallel()
	var sizes []int
	r := newResting(t, func(o *bucket.CollectorOptions[ids]) {
		o.Stored = func(_ string, _ index.Entry, size int) { sizes = append(sizes, size) }
	})
	for i := range 3 {
		mustAddBlob(t, r.Collector, "a", i)
		if n := r.Pending(); n != int64(len("[ 0 ]")) {
			t.Errorf("%d bytes pending", n)
		}
		r.tick(t)
	}
	if r.Pending() != 0 || r.encodes.Load() != 0 || r.decodes.Load() != 0 || fmt.Sprint(sizes) != "[5 5 5]" {
		t.Errorf("%d bytes pending, %d encodings, %d decodings, stored %v", r.Pending(), r.encodes.Load(), r.decodes.Load(), sizes)
	}
	mustAddBlob(t, r.Collector, "a", 3)
	if n := r.asked(t, ids{0, 1, 2, 3}); n != 4 {
		t.Errorf("the first question decodes %d blobs, want 4", n)
	}
	r.tick(t)
	mustAddBlob(t, r.Collector, "a", 4)
	if n := r.asked(t, ids{0, 1, 2, 3, 4}); n != 1 {
		t.Errorf("the next question decodes %d blobs, want the one that came", n)
	}
	v, err := r.Range(t.Context(), "a", r.now.Add(-time.Hour), r.now.Add(time.Hour), nil)
	wantIDs(t, "all", v, err, ids{0, 1, 2, 3, 4})
	r.tick(t)
	wantIDs(t, "stored", r.stored(t, "a"), nil, ids{0, 1, 2, 3, 4})
}

// TestValuesRestOnceStored checks that a merged value is let go of when its blob is
// stored, and not kept for questions where that is not wanted.
func TestValuesRestOnceStored(t *testing.T) {
	t.Parallel()
	r := newResting(t, func(o *bucket.CollectorOptions[ids]) { o.LiveCacheBytes = -1 })
	mustAdd(t, r.Collector, "a", 0, 1)
	if n := r.asked(t, ids{0, 1}); n != 0 {
		t.Errorf("an open tick costs %d decodings", n)
	}
	r.tick(t)
	for range 2 {
		mustAdd(t, r.Collector, "b", 9) // another tenant's changes nothing
		if n := r.asked(t, ids{0, 1}); n != 1 {
			t.Errorf("a stored tick costs %d decodings, want 1", n)
		}
	}
	if n := r.encodes.Load(); n != 1 {
		t.Errorf("%d encodings", n)
	}
}

// TestBusyTicksStayOpen checks that where several values came in the last tick, the
// first of the next one is not put to rest, and its blob is not wasted.
func TestBusyTicksStayOpen(t *testing.T) {
	t.Parallel()
	r := newResting(t, nil)
	mustAddBlob(t, r.Collector, "a", 0)
	mustAddBlob(t, r.Collector, "a", 1)
	if n := r.decodes.Load(); n != 1 {
		t.Errorf("the second value costs %d decodings, want that of the first", n)
	}
	if n := r.Pending(); n != 2 {
		t.Errorf("%d bytes pending, want those of two values", n)
	}
	r.tick(t)
	mustAddBlob(t, r.Collector, "a", 2)
	mustAddBlob(t, r.Collector, "a", 3)
	if n := r.decodes.Load(); n != 1 {
		t.Errorf("%d decodings after a busy tick", n)
	}
	r.tick(t)
	encodes := r.encodes.Load()
	mustAddBlob(t, r.Collector, "a", 4)
	r.tick(t)
	if n := r.encodes.Load(); n != encodes {
		t.Errorf("the only one after a busy tick is encoded again")
	}
	if n := r.Pending(); n != 0 {
		t.Errorf("%d bytes pending", n)
	}
	wantIDs(t, "stored", r.stored(t, "a"), nil, upTo(5))
}

// TestLongWindowsStayOpen checks that a window of more ticks than are merged when
// somebody asks decodes nothing.
func TestLongWindowsStayOpen(t *testing.T) {
	t.Parallel()
	r := newResting(t, func(o *bucket.CollectorOptions[ids]) { o.Window, o.Tick = 40*time.Second, time.Second })
	for i := range 10 {
		mustAdd(t, r.Collector, "a", i)
		r.tick(t)
	}
	before := r.decodes.Load()
	for i := range 30 {
		mustAddBlob(t, r.Collector, "a", 10+i)
		if n := r.asked(t, upTo(11+i)); n != 0 {
			t.Errorf("%d decodings", n)
		}
		r.tick(t)
	}
	if n := r.decodes.Load() - before; n != 0 {
		t.Errorf("%d decodings", n)
	}
}

// TestRestIsBounded checks that a value that is opened counts as pending, and is
// refused where that would be too much; the blob stays.
func TestRestIsBounded(t *testing.T) {
	t.Parallel()
	r := newResting(t, func(o *bucket.CollectorOptions[ids]) { o.MaxPending, o.MaxTenantPending = 12, 12 })
	large := []byte("[0,1,2,3,4]")
	if err := r.AddBlob(t.Context(), "a", bucket.Encoded[ids]{Blob: large}, nil); err != nil {
		t.Fatal(err)
	}
	full, ok := errors.AsType[*bucket.FullError](r.Add(t.Context(), "a", upTo(8), nil))
	if !ok || full.Size != 8 || r.Pending() != int64(len(large)) {
		t.Errorf("%v, %d bytes pending", full, r.Pending())
	}
	r.asked(t, upTo(5))
	if err := r.Add(t.Context(), "a", ids{5}, nil); err != nil || r.Pending() != 6 { // of each value, and no more of the blob
		t.Errorf("%v, %d bytes pending", err, r.Pending())
	}
	r.tick(t)
	if n := r.Pending(); n != 0 {
		t.Errorf("%d bytes pending", n)
	}
	wantIDs(t, "stored", r.stored(t, "a"), nil, upTo(6))
}

// TestBlobsThatDoNotDecode checks that what cannot be decoded is an error of every
// question that needs it. It is stored all the same, and so are the values that come
// after it, as another entry.
func TestBlobsThatDoNotDecode(t *testing.T) {
	t.Parallel()
	r := newResting(t, nil)
	mustAddBlob(t, r.Collector, "a", 0)
	r.broken.Store(true)
	if _, err := r.At(t.Context(), "a", r.now, nil); !errors.Is(err, errBroken) {
		t.Errorf("at: %v", err)
	}
	if _, err := r.Range(t.Context(), "a", r.now, r.now.Add(time.Hour), nil); !errors.Is(err, errBroken) {
		t.Errorf("range: %v", err)
	}
	mustAdd(t, r.Collector, "a", 1)
	r.tick(t)
	mustAddBlob(t, r.Collector, "a", 2)
	if _, err := r.At(t.Context(), "a", r.now, nil); !errors.Is(err, errBroken) {
		t.Errorf("at: %v", err)
	}
	r.broken.Store(false)
	r.asked(t, ids{0, 1, 2})
	r.tick(t)
	wantIDs(t, "stored", r.stored(t, "a"), nil, ids{0, 1, 2})
}

// plain is a blob store that does not decode.
type plain struct{ bucket.Blobs[ids] }

// TestNoDecoder checks that on a store that does not decode, values stay as they are,
// and blobs that came with them are stored.
func TestNoDecoder(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	opts := fast()
	opts.Size = func(v ids) int64 { return int64(len(v)) }
	c, err := bucket.NewCollector(s.index, plain{s.blobs}, mergeIDs, opts)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		mustAddBlob(t, c, "a", i)
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	v, err := c.At(t.Context(), "a", time.Now().Add(time.Hour), nil)
	wantIDs(t, "now", v, err, upTo(3))
	if s.decodes.Load() != 0 || s.encodes.Load() != 0 || c.Pending() != 0 {
		t.Errorf("%d decodings, %d encodings, %d bytes pending", s.decodes.Load(), s.encodes.Load(), c.Pending())
	}
	if err := c.AddBlob(t.Context(), "a", bucket.Encoded[ids]{Blob: []byte("[3]")}, nil); err == nil {
		t.Error("a blob that nobody can decode was taken")
	}
	wantIDs(t, "stored", s.stored(t, "a"), nil, upTo(3))
}

// TestAddBlobDecides checks that a blob that is the first of its tick is checked and
// kept as it is, any other one is decoded and merged.
func TestAddBlobDecides(t *testing.T) {
	t.Parallel()
	r := newResting(t, nil)
	add := func(v int, kept bool) {
		t.Helper()
		checks, decodes := 0, 0
		err := r.AddBlob(t.Context(), "a", bucket.Encoded[ids]{Blob: fmt.Appendf(nil, "[%d]", v),
			Check:  func() error { checks++; return nil },
			Decode: func() (ids, error) { decodes++; return ids{v}, nil }}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if (checks == 1) != kept || (decodes == 0) != kept {
			t.Errorf("%d: %d checks, %d decodings; kept should be %v", v, checks, decodes, kept)
		}
	}
	add(0, true)
	r.tick(t)
	add(1, true)
	add(2, false)
	r.tick(t)
	add(3, false) // the last tick was busy
	r.tick(t)
	add(4, true)
	r.asked(t, upTo(5))
	r.broken.Store(true)
	if err := r.AddBlob(t.Context(), "a", bucket.Encoded[ids]{Blob: []byte("[5]")}, nil); !errors.Is(err, errBroken) {
		t.Errorf("a second that does not decode: %v", err)
	}
	bad := func() error { return errBroken }
	for _, tenant := range []string{"a", "new"} {
		if err := r.AddBlob(t.Context(), tenant, bucket.Encoded[ids]{Blob: []byte("[5]"), Check: bad, Decode: func() (ids, error) { return nil, bad() }}, nil); !errors.Is(err, errBroken) {
			t.Errorf("a blob that is refused, of tenant %s: %v", tenant, err)
		}
	}
	if got := r.LiveTenants(); len(got) != 1 {
		t.Errorf("a refused blob made a tenant: %q", got)
	}
	r.broken.Store(false)
	r.tick(t)
	wantIDs(t, "stored", r.stored(t, "a"), nil, upTo(5))
	if n := r.Pending(); n != 0 {
		t.Errorf("%d bytes pending", n)
	}
}

// TestRestWhileAllHappens adds, asks and flushes at once.
func TestRestWhileAllHappens(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	opts := fast()
	opts.Tick, opts.Window = 2*time.Millisecond, 10*time.Millisecond
	c := s.collector(t, opts)
	r := start(t, c)
	begun := time.Now()
	var g sync.WaitGroup
	for w := range 3 {
		g.Go(func() {
			for i := range 200 {
				switch v := 1000*w + i; w {
				case 0:
					mustAdd(t, c, "a", v)
				case 1:
					mustAddBlob(t, c, "a", v)
				case 2:
					if err := c.AddBlob(t.Context(), "a", bucket.Encoded[ids]{Blob: fmt.Appendf(nil, "[%d]", v)}, nil); err != nil {
						t.Error(err)
					}
				}
				if _, err := c.At(context.Background(), "a", time.Now().Add(time.Hour), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	g.Wait()
	v, err := c.Range(t.Context(), "a", begun, time.Now().Add(time.Hour), nil)
	r.end(t)
	if stored := s.stored(t, "a"); err != nil || len(v.Value) != 600 || len(stored) != 600 || c.Pending() != 0 {
		t.Errorf("%d answered, %v.Value, %d stored, %d bytes pending", len(v.Value), err, len(stored), c.Pending())
	}
}
