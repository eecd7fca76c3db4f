package tiered_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/tiered"
)

// A store has the shape that bucket asks of a place for blobs.
var _ interface {
	Get(ctx context.Context, refs []blob.Ref) ([]blob.Result[string], error)
	Encode(v string) ([]byte, error)
	Put(ctx context.Context, key string, blob []byte) error
} = (*tiered.Store[string])(nil)

func TestNewChecksOptions(t *testing.T) {
	t.Parallel()
	mem := new(tiered.MemTier)
	for _, tc := range []struct {
		name string
		opts *tiered.Options[string]
		ok   bool
	}{
		{"defaults", nil, true},
		{"no memory", &tiered.Options[string]{Memory: -1}, true},
		{"decoders", &tiered.Options[string]{Decoders: -1}, false},
		{"cache", &tiered.Options[string]{Caches: []tiered.Cache{{Name: "a", Tier: mem}}}, true},
		{"cache without a name", &tiered.Options[string]{Caches: []tiered.Cache{{Tier: mem}}}, false},
		{"cache without a tier", &tiered.Options[string]{Caches: []tiered.Cache{{Name: "a"}}}, false},
		{"two of a name", &tiered.Options[string]{Caches: []tiered.Cache{{Name: "a", Tier: mem}, {Name: "a", Tier: mem}}}, false},
		{"reserved name", &tiered.Options[string]{Caches: []tiered.Cache{{Name: "authority", Tier: mem}}}, false},
		{"cache timeout", &tiered.Options[string]{Caches: []tiered.Cache{{Name: "a", Tier: mem, Timeout: -1}}}, false},
		{"cache write-backs", &tiered.Options[string]{Caches: []tiered.Cache{{Name: "a", Tier: mem, WriteBacks: -1}}}, false},
		{"metric names", &tiered.Options[string]{Namespace: "\xff", Registerer: prometheus.NewRegistry()}, false},
	} {
		if _, err := tiered.New(sealed{}, mem, tc.opts); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if _, err := tiered.New[string](nil, mem, nil); err == nil {
		t.Error("a store without a codec")
	}
	if _, err := tiered.New(sealed{}, nil, nil); err == nil {
		t.Error("a store without an authority")
	}
}

// TestEachTierOnce reads what lies at different depths with one call of each
// tier, for what is missing there, and writes it to the tiers above.
func TestEachTierOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *tiered.Options[string]) { o.Memory = 1 << 20 })
	hold(t, h.nearBlobs, "a")
	hold(t, h.farBlobs, "b", "c")
	hold(t, h.blobs, "a", "b", "c", "d")
	keys := []string{"d", "a", "absent", "b", "a", "c", "absent"}
	h.expect(t, keys, "a", "b", "c", "d")
	for _, tc := range []struct {
		tier *faulttest.Tier
		keys int
	}{{h.near, 5}, {h.far, 4}, {h.authority, 2}} {
		if tc.tier.Calls(faulttest.Get) != 1 || tc.tier.Keys(faulttest.Get) != tc.keys {
			t.Errorf("%d calls for %d keys, want 1 for %d", tc.tier.Calls(faulttest.Get), tc.tier.Keys(faulttest.Get), tc.keys)
		}
	}
	h.expect(t, []string{"a", "b", "c", "d"}, "a", "b", "c", "d")
	if n := h.near.Calls(faulttest.Get); n != 1 {
		t.Errorf("a cache was asked %d times, though memory had all", n)
	}
	h.healAndWait(t)
	if h.nearBlobs.Len() != 4 || h.farBlobs.Len() != 3 {
		t.Errorf("the caches hold %d and %d blobs, want 4 and 3", h.nearBlobs.Len(), h.farBlobs.Len())
	}
	again := newHouse(t, nil)
	for _, key := range []string{"a", "b", "c", "d"} {
		found := blobsOf(t, h.nearBlobs, key)
		again.blobs.Put(t.Context(), key, found[key])
	}
	again.expect(t, keys, "a", "b", "c", "d")
	again.healAndWait(t)
}

func TestAbsenceIsNeverCached(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *tiered.Options[string]) { o.Memory = 1 << 20 })
	defer h.healAndWait(t)
	h.expect(t, []string{"a"})
	if _, found, err := h.One(t.Context(), "a"); found || err != nil {
		t.Errorf("One found %v, %v", found, err)
	}
	hold(t, h.blobs, "a")
	h.expect(t, []string{"a"}, "a")
}

func TestNoKeys(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	defer h.healAndWait(t)
	h.expect(t, nil)
	if h.near.Calls(faulttest.Get) != 0 {
		t.Error("a tier was asked for nothing")
	}
}

func TestPut(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	blob := seal("value of a")
	if err := h.Put(t.Context(), "a", blob); err != nil {
		t.Fatal(err)
	}
	clear(blob) // the caller's, while the caches may not have theirs yet
	h.expect(t, []string{"a"}, "a")
	err := h.Put(t.Context(), "a", seal("other"))
	if !errors.Is(err, tiered.ErrExists) || !slices.Equal(named(err), []string{"a"}) {
		t.Errorf("Put on a taken key: %v", err)
	}
	h.healAndWait(t)
	for _, cache := range []*tiered.MemTier{h.nearBlobs, h.farBlobs} {
		found := blobsOf(t, cache, "a")
		if string(found["a"]) != string(seal("value of a")) {
			t.Errorf("a cache holds %q", found["a"])
		}
	}
	h.count(t, 0, "timeblob_tier_errors_total")
}

func TestPutThatFailsIsNotCached(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.authority.Inject(faulttest.Fault{Op: faulttest.Put})
	err := h.Put(t.Context(), "a", seal("value of a"))
	te, ok := errors.AsType[*tiered.TierError](err)
	if !ok || te.Op != "put" || te.Tier != "authority" || !errors.Is(err, faulttest.ErrInjected) {
		t.Errorf("Put: %v", err)
	}
	h.healAndWait(t)
	if h.nearBlobs.Len()+h.farBlobs.Len() != 0 {
		t.Error("a cache has what the authority refused")
	}
}

func TestPutDoesNotWaitForCaches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		h.near.Inject(faulttest.Fault{Hang: true})
		begin := time.Now()
		if err := h.Put(t.Context(), "a", seal("value of a")); err != nil || time.Since(begin) > 0 {
			t.Errorf("Put took %v, %v", time.Since(begin), err)
		}
		synctest.Wait()
		if h.farBlobs.Len() != 1 {
			t.Error("a cache that hangs holds up another")
		}
		h.healAndWait(t)
	})
}

// A reader who comes after Put has returned finds the blob, also when a fetch
// from before Put is still on its way.
func TestGetAfterPutFinds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(o *tiered.Options[string]) { o.Caches = nil })
		stale := &staleTier{Tier: h.blobs, delay: time.Minute}
		store, err := tiered.New(sealed{}, stale, nil)
		if err != nil {
			t.Fatal(err)
		}
		go byKey(t.Context(), store, []string{"a"}) // has read "absent" and dawdles
		synctest.Wait()
		if err := store.Put(t.Context(), "a", seal("value of a")); err != nil {
			t.Fatal(err)
		}
		values, err := byKey(t.Context(), store, []string{"a"})
		if err != nil {
			t.Error(err)
		}
		compare(t, values, "a")
	})
}

// staleTier answers with what was true a while ago.
type staleTier struct {
	tiered.Tier
	delay time.Duration
}

func (s *staleTier) Get(ctx context.Context, keys []string) ([][]byte, error) {
	found, err := s.Tier.Get(ctx, keys)
	time.Sleep(s.delay)
	return found, err
}

// TestOneFetchPerKey has many readers of each key come at about the same time:
// a reader that comes during the fetch waits for it, and a later reader finds the value in memory, also when it landed just after the look into memory.
func TestOneFetchPerKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *tiered.Options[string]) { o.Memory = 1 << 20 })
	keys := fixedKeys(2000)
	hold(t, h.blobs, keys...)
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for _, key := range keys {
				h.expect(t, []string{key}, key)
			}
		})
	}
	readers.Wait()
	if n := h.authority.Keys(faulttest.Get); n != len(keys) {
		t.Errorf("%d fetches of %d keys", n, len(keys))
	}
	h.healAndWait(t)
}

func TestEncode(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	if blob, err := h.Encode("x"); err != nil || string(blob) != string(seal("x")) {
		t.Errorf("Encode: %q, %v", blob, err)
	}
	store, _ := tiered.New[string](refusing{}, h.blobs, nil)
	if _, err := store.Encode("x"); !errors.Is(err, errUnsealed) {
		t.Errorf("Encode: %v", err)
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	if v, err := h.Decode(seal("x")); err != nil || v != "x" {
		t.Errorf("Decode: %q, %v", v, err)
	}
	if _, err := h.Decode([]byte("x")); !errors.Is(err, errUnsealed) {
		t.Errorf("Decode: %v", err)
	}
	store, _ := tiered.New[string](refusing{}, h.blobs, nil)
	if _, err := store.Decode(seal("x")); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("Decode: %v", err)
	}
}

// refusing is a codec that encodes nothing and panics at every blob.
type refusing struct{}

func (refusing) Encode(string) ([]byte, error) { return nil, errUnsealed }
func (refusing) Decode([]byte) (string, error) { panic("no") }

func TestCodecThatPanics(t *testing.T) {
	t.Parallel()
	mem := new(tiered.MemTier)
	hold(t, mem, "a", "b")
	store, err := tiered.New[string](refusing{}, mem, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = byKey(t.Context(), store, []string{"a", "b"})
	if !slices.Equal(named(err), []string{"a", "b"}) {
		t.Errorf("Get: %v", err)
	}
}

func TestOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *tiered.Options[string]) { o.Memory = 1 << 20 })
	defer h.healAndWait(t)
	hold(t, h.blobs, "a")
	for range 2 {
		if v, found, err := h.One(t.Context(), "a"); v != "value of a" || !found || err != nil {
			t.Errorf("One: %q, %v, %v", v, found, err)
		}
	}
	h.authority.Inject(faulttest.Fault{})
	_, found, err := h.One(t.Context(), "b")
	if found || !errors.Is(err, faulttest.ErrInjected) || !slices.Equal(named(err), []string{"b"}) {
		t.Errorf("One of a tier that fails: %v, %v", found, err)
	}
}

func TestOneAllocatesNothingOnAHit(t *testing.T) {
	h := newHouse(t, func(o *tiered.Options[string]) { o.Memory = 1 << 20 })
	defer h.healAndWait(t)
	hold(t, h.blobs, "a")
	h.One(t.Context(), "a")
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { h.One(ctx, "a") }); n != 0 {
		t.Errorf("a hit allocates %v times", n)
	}
}

func TestCloseFinishesWriteBacks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		h.near.Inject(faulttest.Fault{Op: faulttest.Put, Delay: 400 * time.Millisecond})
		keys := fixedKeys(10)
		hold(t, h.blobs, keys...)
		h.expect(t, keys, keys...)
		begin := time.Now()
		if err := h.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if h.nearBlobs.Len() != 10 || time.Since(begin) != 1200*time.Millisecond {
			t.Errorf("%d of 10 blobs after %v, want three rounds of four at a time", h.nearBlobs.Len(), time.Since(begin))
		}
		for range 2 {
			if _, err := h.Get(t.Context(), keys); !errors.Is(err, tiered.ErrClosed) {
				t.Errorf("Get after Close: %v", err)
			}
			if _, _, err := h.One(t.Context(), "a"); !errors.Is(err, tiered.ErrClosed) {
				t.Errorf("One after Close: %v", err)
			}
			if err := h.Put(t.Context(), "a", nil); !errors.Is(err, tiered.ErrClosed) {
				t.Errorf("Put after Close: %v", err)
			}
			if err := h.Close(t.Context()); err != nil {
				t.Errorf("Close after Close: %v", err)
			}
		}
	})
}

func TestCloseGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(o *tiered.Options[string]) { o.Caches[0].Timeout = time.Hour })
		h.near.Inject(faulttest.Fault{Op: faulttest.Put, Hang: true})
		keys := fixedKeys(10)
		hold(t, h.blobs, keys...)
		h.expect(t, keys, keys...)
		err := h.Close(soon(t))
		if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "tiered: close: 10 blobs did not reach a cache: context deadline exceeded" {
			t.Errorf("Close: %v", err)
		}
		h.count(t, 6, "timeblob_tier_write_backs_total", "near", "dropped")
		h.healAndWait(t)
		h.count(t, 4, "timeblob_tier_write_backs_total", "near", "stored")
	})
}

// TestCloseDuringUse closes while others read and write: no panic, no leak,
// and only ErrClosed as an error.
func TestCloseDuringUse(t *testing.T) {
	t.Parallel()
	keys := fixedKeys(20)
	for range 50 {
		h := newHouse(t, nil)
		hold(t, h.blobs, keys...)
		var users sync.WaitGroup
		begun := make(chan struct{}, 4)
		for range 4 {
			users.Go(func() { useUntilClosed(t, h, keys, begun) })
		}
		for range 4 {
			<-begun
		}
		h.healAndWait(t)
		users.Wait()
	}
}

func useUntilClosed(t *testing.T, h *house, keys []string, begun chan<- struct{}) {
	for n := 0; ; n++ {
		_, err := h.Get(t.Context(), keys[n%len(keys):])
		if n == 0 {
			begun <- struct{}{}
		}
		if err != nil {
			if !errors.Is(err, tiered.ErrClosed) {
				t.Errorf("Get: %v", err)
			}
			return
		}
		if err := h.Put(t.Context(), keys[n%len(keys)], nil); !errors.Is(err, tiered.ErrExists) && !errors.Is(err, tiered.ErrClosed) {
			t.Errorf("Put: %v", err)
		}
	}
}
