package tiered_test

import (
	"math/rand/v2"
	"testing"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/tiered"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

// The benchmarks use blobs of 4 kB and tiers in memory, so that they measure the store.
const benchBlob = 4_000

// benchStore returns a store over one cache and an authority that hold n keys.
func benchStore(b *testing.B, n int, memory int64) (*tiered.Store[string], []string, *tiered.MemTier) {
	b.Helper()
	authority, cache, keys := new(tiered.MemTier), &tiered.MemTier{Overwrite: true}, fixedKeys(n)
	for _, key := range keys {
		blob := seal(string(tiertest.Blob(benchBlob)))
		if err := authority.Put(b.Context(), key, blob); err != nil {
			b.Fatal(err)
		}
	}
	store, err := tiered.New(sealed{}, authority, &tiered.Options[string]{
		Caches: []tiered.Cache{{Name: "cache", Tier: cache}}, Memory: memory})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	return store, keys, cache
}

// read benchmarks Get of keys and reports how many values it found.
func read(b *testing.B, store *tiered.Store[string], keys []string, before func()) {
	hits, asked := 0, refs(keys)
	for b.Loop() {
		before()
		values, err := store.Get(b.Context(), asked)
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range values {
			if r.Found {
				hits++
			}
		}
	}
	b.SetBytes(int64(len(keys)) * benchBlob)
	b.ReportMetric(float64(hits)/float64(b.N), "hits/op")
}

func nothing() {}

func BenchmarkMemoryHitOne(b *testing.B) {
	store, keys, _ := benchStore(b, 1, 0)
	hits := 0
	for b.Loop() {
		if _, found, err := store.One(b.Context(), blob.Ref{Key: keys[0]}); err == nil && found {
			hits++
		}
	}
	b.ReportMetric(float64(hits)/float64(b.N), "hits/op")
}

func BenchmarkMemoryHitFive(b *testing.B) {
	store, keys, _ := benchStore(b, 5, 0)
	read(b, store, keys, nothing)
}

// BenchmarkCacheHitFive has no memory, so a cache answers.
func BenchmarkCacheHitFive(b *testing.B) {
	store, keys, cache := benchStore(b, 5, -1)
	if _, err := store.Get(b.Context(), refs(keys)); err != nil {
		b.Fatal(err)
	}
	if err := store.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	store, err := tiered.New(sealed{}, new(tiered.MemTier), &tiered.Options[string]{
		Caches: []tiered.Cache{{Name: "cache", Tier: cache}}, Memory: -1})
	if err != nil {
		b.Fatal(err)
	}
	read(b, store, keys, nothing)
}

// BenchmarkColdFive reads from the authority and writes back to the cache.
func BenchmarkColdFive(b *testing.B) {
	store, keys, cache := benchStore(b, 5, -1)
	read(b, store, keys, func() { _ = cache.Delete(b.Context(), keys) })
	if err := store.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkParallelReaders asks from all cores for five of 1 000 keys, and memory holds about half of them.
func BenchmarkParallelReaders(b *testing.B) {
	store, keys, _ := benchStore(b, 1000, 1000*benchBlob/2)
	asked := refs(keys)
	b.SetBytes(5 * benchBlob)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			from := rand.IntN(len(keys) - 5)
			if values, err := store.Get(b.Context(), asked[from:from+5]); err != nil || len(values) != 5 {
				b.Errorf("%d values, %v", len(values), err)
			}
		}
	})
	if err := store.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkParallelOneKey asks from all cores for one key in memory.
func BenchmarkParallelOneKey(b *testing.B) {
	store, keys, _ := benchStore(b, 1, 0)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, found, err := store.One(b.Context(), blob.Ref{Key: keys[0]}); !found || err != nil {
				b.Errorf("One: %v, %v", found, err)
			}
		}
	})
}
