package tiertest

import (
	"fmt"
	"testing"

	"github.com/timeblob/timeblob/tiered"
)

// RunBenchmarks measures a tier: puts of one blob, and gets of several in one
// call, with bytes, allocations and hits per call. It leaves its blobs behind.
func RunBenchmarks(b *testing.B, open func(b *testing.B) tiered.Tier) {
	for _, size := range []int{4_000, 200_000} {
		b.Run(fmt.Sprintf("Put/%dB", size), func(b *testing.B) { benchPut(b, open(b), size) })
		for _, n := range []int{1, 5, 100} {
			b.Run(fmt.Sprintf("Get/%dx%dB", n, size), func(b *testing.B) { benchGet(b, open(b), n, size) })
		}
	}
	b.Run("Get/absent", func(b *testing.B) { benchAbsent(b, open(b)) })
}

func benchPut(b *testing.B, tier tiered.Tier, size int) {
	blob, row, n := Blob(size), prefix(), 0
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if err := tier.Put(b.Context(), fmt.Sprint(row, n), blob); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

func benchGet(b *testing.B, tier tiered.Tier, n, size int) {
	want := make(map[string][]byte, n)
	for range n {
		want[Key()] = Blob(size)
	}
	if err := putAll(b.Context(), tier, want); err != nil {
		b.Fatal(err)
	}
	keys, hits := keysOf(want), 0
	b.SetBytes(int64(n * size))
	b.ReportAllocs()
	for b.Loop() {
		got, err := tier.Get(b.Context(), keys)
		if err != nil {
			b.Fatal(err)
		}
		for _, blob := range got {
			if blob != nil {
				hits++
			}
		}
	}
	b.ReportMetric(float64(hits)/float64(b.N), "hits/op")
}

func benchAbsent(b *testing.B, tier tiered.Tier) {
	keys := keysOf(samples(5))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tier.Get(b.Context(), keys); err != nil {
			b.Fatal(err)
		}
	}
}
