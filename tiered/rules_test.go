package tiered_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/tiered"
)

// TestRule2NoSilentPartial has the authority fail in every way: what it could
// not give is named by an error, what it gave is there, nothing that failed is
// cached, and the next answer after it heals is whole.
func TestRule2NoSilentPartial(t *testing.T) {
	t.Parallel()
	only := func(key string) func(faulttest.Call) bool {
		return func(c faulttest.Call) bool { return c.Key == key }
	}
	for _, tc := range []struct {
		name   string
		fault  faulttest.Fault
		lost   []string // of a, b, c
		cause  error
		metric string
	}{
		{"fails", faulttest.Fault{}, []string{"a", "b", "c"}, faulttest.ErrInjected, "failed"},
		{"hangs", faulttest.Fault{Hang: true}, []string{"a", "b", "c"}, context.DeadlineExceeded, "timeout"},
		{"is corrupt", faulttest.Fault{Corrupt: true}, []string{"a", "b", "c"}, errUnsealed, "corrupt"},
		{"is truncated", faulttest.Fault{Truncate: true}, []string{"a", "b", "c"}, errUnsealed, "corrupt"},
		{"is corrupt in one key", faulttest.Fault{Corrupt: true, Match: only("b")}, []string{"b"}, errUnsealed, "corrupt"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, func(o *tiered.Options[string]) { o.Memory = 1 << 20 })
				keys := []string{"a", "b", "c", "absent"}
				hold(t, h.blobs, "a", "b", "c")
				h.authority.Inject(tc.fault)
				values, err := h.Get(soon(t), keys)
				if got := slices.DeleteFunc(named(err), func(k string) bool { return k == "absent" }); !slices.Equal(got, tc.lost) {
					t.Errorf("the error names %q, want %q: %v", got, tc.lost, err)
				}
				if !errors.Is(err, tc.cause) {
					t.Errorf("got %v, want %v", err, tc.cause)
				}
				compare(t, values, slices.DeleteFunc([]string{"a", "b", "c"}, func(k string) bool { return slices.Contains(tc.lost, k) })...)
				if h.metric(t, "timeblob_tier_errors_total", "authority", tc.metric) == 0 {
					t.Error("the error was not counted")
				}
				h.authority.Heal()
				h.expect(t, keys, "a", "b", "c")
				h.healAndWait(t)
			})
		})
	}
}

func TestRule2PartBesideAnError(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	keys := fixedKeys(10)
	hold(t, h.blobs, keys...)
	h.authority.Inject(faulttest.Fault{Partial: true})
	values, err := h.Get(t.Context(), keys)
	lost := named(err)
	if len(values) != 5 || len(lost) != 5 {
		t.Fatalf("got %d values and %d named keys, want 5 and 5: %v", len(values), len(lost), err)
	}
	for _, key := range lost {
		if _, ok := values[key]; ok {
			t.Errorf("key %q was found and is named by the error", key)
		}
	}
	if _, ok := errors.AsType[*tiered.TierError](err); !ok || !errors.Is(err, faulttest.ErrInjected) {
		t.Errorf("got %v", err)
	}
	h.healAndWait(t)
}

// TestRule2CacheFaultsAreReadPast has a cache fail in every way: the answer is
// whole, the fault counted, and the cache repaired.
func TestRule2CacheFaultsAreReadPast(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		fault  faulttest.Fault
		metric string
	}{
		{"fails", faulttest.Fault{}, "failed"},
		{"fails in part", faulttest.Fault{Op: faulttest.Get, Partial: true}, "failed"},
		{"hangs", faulttest.Fault{Hang: true}, "timeout"},
		{"is slow", faulttest.Fault{Delay: time.Hour}, "timeout"},
		{"is corrupt", faulttest.Fault{Corrupt: true}, "corrupt"},
		{"is truncated", faulttest.Fault{Truncate: true}, "corrupt"},
		{"answers what nobody asked", faulttest.Fault{Stray: true}, "failed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, nil)
				hold(t, h.nearBlobs, "a", "b", "c")
				hold(t, h.blobs, "a", "b", "c", "d")
				h.near.Inject(tc.fault)
				h.far.Inject(tc.fault)
				begin := time.Now()
				h.expect(t, []string{"a", "b", "c", "d", "absent"}, "a", "b", "c", "d")
				if took := time.Since(begin); took > time.Second {
					t.Errorf("two caches of 500 ms held up a read for %v", took)
				}
				synctest.Wait()
				if h.metric(t, "timeblob_tier_errors_total", "near", tc.metric) == 0 {
					t.Error("the fault was not counted")
				}
				h.healAndWait(t)
			})
		})
	}
}

func TestCorruptCacheIsRepaired(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	spoil(t, h.nearBlobs, "a", "b")
	spoil(t, h.farBlobs, "a")
	hold(t, h.farBlobs, "b")
	hold(t, h.blobs, "a", "b")
	h.expect(t, []string{"a", "b"}, "a", "b")
	h.healAndWait(t)
	for name, cache := range map[string]*tiered.MemTier{"near": h.nearBlobs, "far": h.farBlobs} {
		found := blobsOf(t, cache, "a", "b")
		if string(found["a"]) != string(seal("value of a")) || string(found["b"]) != string(seal("value of b")) {
			t.Errorf("%s still holds %q", name, found)
		}
	}
	h.count(t, 3, "timeblob_tier_errors_total", "corrupt")
	h.count(t, 2, "timeblob_tier_write_backs_total", "near", "stored")
	h.count(t, 1, "timeblob_tier_write_backs_total", "far", "stored")
}

// What only a cache holds, corrupt, does not exist.
func TestCorruptCacheOfAnAbsentKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	defer h.healAndWait(t)
	spoil(t, h.nearBlobs, "a")
	h.expect(t, []string{"a"})
}

// hostile is a cache that reuses and changes all memory it can reach.
type hostile struct {
	tiered.MemTier
	last [][]byte
}

func (h *hostile) Get(ctx context.Context, keys []string) ([][]byte, error) {
	for _, blob := range h.last {
		clear(blob)
	}
	found, err := h.MemTier.Get(ctx, keys)
	h.last = found
	return found, err
}

func (h *hostile) Put(ctx context.Context, key string, blob []byte) error {
	defer clear(blob)
	return h.MemTier.Put(ctx, key, blob)
}

func TestHostileCacheHarmsNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bad := &hostile{}
		h := newHouse(t, func(o *tiered.Options[string]) {
			o.Caches = slices.Insert(o.Caches, 1, tiered.Cache{Name: "bad", Tier: bad, WriteBacks: 1})
		})
		hold(t, h.blobs, "a", "b")
		hold(t, bad, "c", "d")
		for range 3 {
			h.expect(t, []string{"a", "b", "c", "d"}, "a", "b", "c", "d")
			synctest.Wait()
			_ = h.nearBlobs.Delete(t.Context(), []string{"c"})
		}
		blob := seal("value of e")
		if err := h.Put(t.Context(), "e", blob); err != nil {
			t.Fatal(err)
		}
		h.healAndWait(t)
		if string(blob) != string(seal("value of e")) {
			t.Error("a cache reached the caller's bytes")
		}
		for name, cache := range map[string]*tiered.MemTier{"near": h.nearBlobs, "far": h.farBlobs} {
			found := blobsOf(t, cache, "a", "b", "c", "d", "e")
			for key, blob := range found {
				if string(blob) != string(seal("value of "+key)) {
					t.Errorf("%s holds %q under %q", name, blob, key)
				}
			}
		}
	})
}

// TestRule7MemoryIsBounded weighs values as told, and their keys.
func TestRule7MemoryIsBounded(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		size func(string) int64
		held float64 // of 200 values of 1 000 bytes, at the bound
	}{
		{"by blob", nil, 80},
		{"by size", func(s string) int64 { return 10 * int64(len(s)) }, 9},
	} {
		h := newHouse(t, func(o *tiered.Options[string]) { o.Memory, o.Size = 100_000, tc.size })
		for _, key := range fixedKeys(200) {
			h.blobs.Put(t.Context(), key, seal(strings.Repeat("x", 1000)))
			if _, _, err := h.One(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		if n := h.metric(t, "timeblob_in_process_cache_bytes"); n > 100_000 || n < 85_000 {
			t.Errorf("%s: memory holds %v bytes, bound 100000", tc.name, n)
		}
		if _, err := h.Get(t.Context(), fixedKeys(200)); err != nil {
			t.Fatal(err)
		}
		if n := h.metric(t, "timeblob_in_process_cache_hits_total"); n < tc.held || n > tc.held+5 {
			t.Errorf("%s: %v values were held, want about %v", tc.name, n, tc.held)
		}
		h.healAndWait(t)
	}
}

// slow is a codec that takes a while and knows how many do so at a time.
type slow struct {
	sealed
	busy, most *atomic.Int64
}

func (s slow) Decode(blob []byte) (string, error) {
	if n := s.busy.Add(1); n > s.most.Load() {
		s.most.Store(n)
	}
	defer s.busy.Add(-1)
	time.Sleep(time.Second)
	return s.sealed.Decode(blob)
}

// TestRule7DecodersAreBounded decodes for many callers at once: as many as the
// limit, over all of them, and a caller who gives up does not wait.
func TestRule7DecodersAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		codec, mem, keys := slow{busy: new(atomic.Int64), most: new(atomic.Int64)}, new(tiered.MemTier), fixedKeys(40)
		hold(t, mem, keys...)
		store, err := tiered.New[string](codec, mem, &tiered.Options[string]{Decoders: 4})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				if _, err := byKey(t.Context(), store, keys[i*10:][:10]); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			hold(t, mem, "late")
			_, err := byKey(soon(t), store, []string{"late"})
			if !errors.Is(err, context.DeadlineExceeded) && err != nil {
				t.Error(err)
			}
			if took := time.Since(begin); took > 2*time.Second {
				t.Errorf("a caller whose context ended waited %v for a decoder", took)
			}
		})
		wg.Wait()
		if took := time.Since(begin); codec.most.Load() != 4 || took < 10*time.Second || took > 11*time.Second {
			t.Errorf("%d at a time, %v; want 4 and 10s", codec.most.Load(), took)
		}
	})
}

// TestRule7WriteBacksAreBounded lets a cache hang: what waits for it is
// bounded by bytes, the rest is dropped and counted, readers do not notice.
func TestRule7WriteBacksAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(o *tiered.Options[string]) {
			o.Caches = o.Caches[:1]
			o.Caches[0].WriteBackBytes = 12_000
			o.Caches[0].Timeout = time.Hour
		})
		h.near.Inject(faulttest.Fault{Op: faulttest.Put, Hang: true})
		for _, key := range fixedKeys(100) {
			if err := h.Put(t.Context(), key, seal(strings.Repeat("x", 1000))); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := h.near.Calls(faulttest.Put); n != 4 {
			t.Errorf("%d puts at a time, want 4", n)
		}
		h.count(t, 90, "timeblob_tier_write_backs_total", "near", "dropped")
		h.near.Heal()
		synctest.Wait()
		h.count(t, 10, "timeblob_tier_write_backs_total", "near", "stored")
		again := make([]string, 10)
		for i := range again {
			again[i] = strings.Repeat("again", i+1)
			if err := h.Put(t.Context(), again[i], seal(strings.Repeat("x", 1000))); err != nil {
				t.Fatal(err)
			}
		}
		h.healAndWait(t)
		h.count(t, 20, "timeblob_tier_write_backs_total", "near", "stored")
	})
}

// A caller who gives up while a cache hangs asks no further tier.
func TestRule7NoWorkForACallerWhoLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		h.near.Inject(faulttest.Fault{Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := h.Get(ctx, []string{"a"}); !errors.Is(err, context.DeadlineExceeded) || !slices.Equal(named(err), []string{"a"}) {
			t.Errorf("Get: %v", err)
		}
		if n := h.far.Calls(faulttest.Get) + h.authority.Calls(faulttest.Get); n != 0 {
			t.Errorf("%d more tiers were asked", n)
		}
		h.healAndWait(t)
	})
}

// TestRule7WaitsEndWithTheContext has readers of a key that another caller is
// fetching from a tier that hangs.
func TestRule7WaitsEndWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		hold(t, h.blobs, "a", "b")
		h.authority.Inject(faulttest.Fault{Hang: true, Times: 1})
		leader, giveUp := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := h.Get(leader, []string{"a"}); !errors.Is(err, context.Canceled) {
				t.Errorf("the caller who gave up got %v", err)
			}
		})
		synctest.Wait()
		begin := time.Now()
		values, err := h.Get(soon(t), []string{"a", "b"})
		if !errors.Is(err, context.DeadlineExceeded) || !slices.Equal(named(err), []string{"a"}) || time.Since(begin) != time.Second {
			t.Errorf("a waiter got %v after %v", err, time.Since(begin))
		}
		compare(t, values, "b")
		wg.Go(func() { h.expect(t, []string{"a"}, "a") })
		synctest.Wait()
		giveUp()
		wg.Wait()
		h.count(t, 0, "timeblob_tier_errors_total")
		h.healAndWait(t)
	})
}
