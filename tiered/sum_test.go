package tiered_test

import (
	"errors"
	"testing"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/tiered"
)

// sumOf is the ref of what hold stores under a key.
func sumOf(key string) blob.Ref {
	return blob.Ref{Key: key, Sum: blob.SumOf(seal("value of " + key))}
}

// A cache that holds other bytes than the index names is read past, counted and
// repaired, though they decode.
func TestSumFindsAWrongBlobInACache(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	if err := h.nearBlobs.Put(t.Context(), "a", seal("another value")); err != nil {
		t.Fatal(err)
	}
	hold(t, h.blobs, "a")
	r, err := h.Store.Get(t.Context(), []blob.Ref{sumOf("a")})
	if err != nil || r[0].Value != "value of a" || r[0].Size != int64(len(seal("value of a"))) {
		t.Errorf("got %+v, %v", r, err)
	}
	h.healAndWait(t)
	h.count(t, 1, "timeblob_tier_errors_total", "near", "corrupt")
	if got := blobsOf(t, h.nearBlobs, "a")["a"]; string(got) != string(seal("value of a")) {
		t.Errorf("the cache still holds %q", got)
	}
}

func TestSumFindsAWrongBlobInTheAuthority(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	defer h.healAndWait(t)
	if err := h.blobs.Put(t.Context(), "a", seal("another value")); err != nil {
		t.Fatal(err)
	}
	hold(t, h.blobs, "b")
	results, err := h.Store.Get(t.Context(), []blob.Ref{sumOf("a"), sumOf("b")})
	if c, ok := errors.AsType[*tiered.CorruptError](err); !ok || c.Key != "a" || results[0].Found || results[0].Err == nil {
		t.Errorf("got %+v, %v", results[0], err)
	}
	if !results[1].Found {
		t.Errorf("the other blob: %+v", results[1])
	}
}

// What memory holds under a key does not answer for other bytes of the same key.
func TestSumInMemory(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *tiered.Options[string]) { o.Memory = 1 << 20 })
	defer h.healAndWait(t)
	hold(t, h.blobs, "a")
	h.expect(t, []string{"a"}, "a") // now in memory, its sum unknown
	other := blob.Ref{Key: "a", Sum: blob.SumOf([]byte("other"))}
	if _, found, err := h.Store.One(t.Context(), other); found || err == nil {
		t.Errorf("a value of another sum: %v, %v", found, err)
	}
	if v, found, err := h.Store.One(t.Context(), sumOf("a")); v != "value of a" || !found || err != nil {
		t.Errorf("the right sum: %q, %v, %v", v, found, err)
	}
	before := h.metric(t, "timeblob_tier_requests_total")
	if v, found, err := h.Store.One(t.Context(), sumOf("a")); v != "value of a" || !found || err != nil {
		t.Errorf("from memory: %q, %v, %v", v, found, err)
	}
	h.count(t, before, "timeblob_tier_requests_total")
}

// A cache that takes only blobs with sums neither answers for other blobs nor
// gets them; the next cache and the authority do.
func TestSumsOnly(t *testing.T) {
	t.Parallel()
	for _, get := range []string{"values", "raw"} {
		t.Run(get, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, func(o *tiered.Options[string]) { o.Caches[0].SumsOnly = true })
			for _, key := range []string{"known", "unknown"} {
				if err := h.nearBlobs.Put(t.Context(), key, seal("a lie")); err != nil {
					t.Fatal(err)
				}
			}
			hold(t, h.blobs, "known", "unknown", "absent from caches")
			asked := []blob.Ref{sumOf("known"), {Key: "unknown"}, {Key: "absent from caches"}, {Key: "nowhere"}}
			for i, got := range h.read(t, asked, get == "raw") {
				if want := string(seal("value of " + asked[i].Key)); i < 3 && got != want || i == 3 && got != "" {
					t.Errorf("%q: got %q, want %q", asked[i].Key, got, want)
				}
			}
			h.healAndWait(t)
			h.count(t, 1, "timeblob_tier_requests_total", "near")
			h.count(t, 4, "timeblob_tier_requests_total", "far")
			near := blobsOf(t, h.nearBlobs, "known", "unknown", "absent from caches")
			if len(near) != 2 || string(near["known"]) != string(seal("value of known")) || string(near["unknown"]) != string(seal("a lie")) {
				t.Errorf("the cache holds %q", near)
			}
			if far := blobsOf(t, h.farBlobs, "known", "unknown", "absent from caches"); len(far) != 3 {
				t.Errorf("the far cache holds %q", far)
			}
		})
	}
}

// read returns the blobs of refs, read as values or as they are; an absent one
// is empty.
func (h *house) read(t *testing.T, refs []blob.Ref, raw bool) (blobs []string) {
	t.Helper()
	if raw {
		results, err := h.GetRaw(t.Context(), refs)
		if err != nil {
			t.Error(err)
		}
		for _, r := range results {
			blobs = append(blobs, string(r.Value))
		}
		return blobs
	}
	results, err := h.Store.Get(t.Context(), refs)
	if err != nil {
		t.Error(err)
	}
	for _, r := range results {
		b := ""
		if r.Found {
			b = string(seal(r.Value))
		}
		blobs = append(blobs, b)
	}
	return blobs
}

// TestGetRaw returns blobs as they are stored, checked, and read past a cache
// that is corrupt.
func TestGetRaw(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *tiered.Options[string]) { o.Memory = 1 << 20 })
	hold(t, h.blobs, "a", "b")
	if err := h.nearBlobs.Put(t.Context(), "a", seal("another value")); err != nil {
		t.Fatal(err)
	}
	got, err := h.GetRaw(t.Context(), []blob.Ref{sumOf("a"), {Key: "absent"}, sumOf("b"), sumOf("a")})
	if err != nil || string(got[0].Value) != string(seal("value of a")) || got[1].Found || string(got[2].Value) != string(seal("value of b")) || !got[3].Found {
		t.Errorf("got %v, %v", got, err)
	}
	h.authority.Inject(faulttest.Fault{Op: faulttest.Get})
	if got, err = h.GetRaw(t.Context(), []blob.Ref{{Key: "c"}}); got[0].Err == nil || !errors.Is(err, faulttest.ErrInjected) {
		t.Errorf("of a tier that fails: %v, %v", got, err)
	}
	h.healAndWait(t)
	if _, err = h.GetRaw(t.Context(), nil); !errors.Is(err, tiered.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
