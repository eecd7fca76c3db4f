package bucket_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// addSpoiler adds n values, one of them "!", and returns what is stored, and what
// Failed was told.
func addSpoiler(t *testing.T, n, spoiler int, opts bucket.CollectorOptions[string], asBlobs bool) (stored string, failed []string, entries int) {
	t.Helper()
	blobs, err := tiered.New(spoiltCodec{}, &tiered.MemTier{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	opts.Size = func(v string) int64 { return int64(len(v)) }
	opts.Failed = func(_, v string, _ error) { failed = append(failed, v) }
	c, err := bucket.NewCollector(index.NewMemIndex(), blobs, mergeTexts, &opts)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for i := range n {
		v := "."
		if i == spoiler {
			v = "!"
		}
		if asBlobs {
			err = c.AddBlob(t.Context(), "t", bucket.Encoded[string]{Blob: []byte(v)}, nil)
		} else {
			err = c.Add(t.Context(), "t", v, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(t.Context()); err != nil || c.Pending() != 0 {
		t.Fatalf("%v, %d bytes pending", err, c.Pending())
	}
	a, err := c.Range(t.Context(), "t", begun, time.Now().Add(time.Hour), nil)
	if err != nil {
		t.Fatal(err)
	}
	return a.Value, failed, a.Entries
}

// TestASpoilerOfASmallTickIsDroppedAlone adds few and many small values to one tick.
// One of them spoils the encoding of their merge.
func TestASpoilerOfASmallTickIsDroppedAlone(t *testing.T) {
	t.Parallel()
	into := func(dst, src string) (string, error) { return dst + src, nil }
	for name, opts := range map[string]bucket.CollectorOptions[string]{
		"merged": {},
		"into":   {Into: into, Clone: strings.Clone},
		"later":  {MergeLater: true},
	} {
		for _, n := range []int{2, 3, 64, 65, 200, 1000} {
			for _, spoiler := range []int{-1, 0, 1, n / 2, n - 1} {
				if name == "later" && spoiler >= 0 {
					continue // a blob that waits is stored as it came
				}
				stored, failed, entries := addSpoiler(t, n, spoiler, opts, name == "later")
				want, most := n, 1
				if spoiler >= 0 {
					want, most = n-1, 20
				}
				if len(stored) != want || strings.Contains(stored, "!") || len(failed) != n-want || entries > most {
					t.Errorf("%s, %d values, spoiler %d: %d stored in %d entries, failed %q", name, n, spoiler, len(stored), entries, failed)
				}
			}
		}
	}
}

// TestPartsOfATickAreForgotten counts encodings: one for each 64 values, and one of the tick.
func TestPartsOfATickAreForgotten(t *testing.T) {
	t.Parallel()
	r := newResting(t, nil)
	for i := range 64 * 10 {
		mustAdd(t, r.Collector, "a", i)
	}
	r.tick(t)
	if n := r.encodes.Load(); n < 10 || n > 11 {
		t.Errorf("%d encodings, want 10 and one of the tick", n)
	}
}

// TestABlobThatDoesNotDecodeStopsNoOther adds a blob that passes its check and cannot be
// decoded, and others after it.
func TestABlobThatDoesNotDecodeStopsNoOther(t *testing.T) {
	t.Parallel()
	for _, later := range []bool{false, true} {
		s := newStores(t)
		opts := fast()
		opts.MergeLater = later
		c := s.collector(t, opts)
		if err := c.AddBlob(t.Context(), "a", bucket.Encoded[ids]{Blob: []byte("no ids")}, nil); err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			mustAddBlob(t, c, "a", i)
			mustAdd(t, c, "a", 100+i)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		a, err := c.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour), &bucket.RangeOptions{Partial: true})
		if err != nil || len(a.Missing) != 1 || len(a.Value) != 80 {
			t.Errorf("later %v: %d values, missing %v, %v", later, len(a.Value), a.Missing, err)
		}
	}
}

// TestAnIntoThatPanicsLeavesTheTickAsItWas lets Into panic when it has changed half of the
// value, with and without a journal.
func TestAnIntoThatPanicsLeavesTheTickAsItWas(t *testing.T) {
	t.Parallel()
	for _, journaled := range []bool{false, true} {
		s := newStores(t)
		opts := fast()
		opts.Clone = func(v ids) ids { return slices.Clone(v) }
		opts.Into = func(dst, src ids) (ids, error) {
			if slices.Contains(src, 13) {
				dst[0] = 13
				panic("half done")
			}
			return append(dst, src...), nil
		}
		if journaled {
			opts.Journal = newMemJournal()
		}
		c := s.collector(t, opts)
		for i := range 5 {
			mustAdd(t, c, "a", i)
			if i > 1 {
				err := c.Add(t.Context(), "a", ids{13}, nil)
				if p, ok := errors.AsType[*bucket.PanicError](err); !ok || p.Func != "into" {
					t.Errorf("a value on which Into panics: %v", err)
				}
			}
		}
		v, err := c.At(t.Context(), "a", time.Now().Add(time.Hour), nil)
		wantIDs(t, fmt.Sprint("live, journal ", journaled), v, err, ids{0, 1, 2, 3, 4})
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantIDs(t, "stored", s.stored(t, "a"), nil, ids{0, 1, 2, 3, 4})
	}
}
