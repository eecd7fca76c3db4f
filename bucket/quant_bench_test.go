package bucket_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
)

// numbers is a store that costs next to nothing, so that the benchmark measures the quantizer: every key has the value 1.
type numbers struct{}

func (numbers) Get(_ context.Context, refs []blob.Ref) ([]blob.Result[int], error) {
	results := make([]blob.Result[int], len(refs))
	for i := range refs {
		results[i] = blob.Result[int]{Value: 1, Found: true}
	}
	return results, nil
}

func (numbers) Encode(int) ([]byte, error)                { return make([]byte, 8), nil }
func (numbers) Put(context.Context, string, []byte) error { return nil }

// BenchmarkRange measures questions about a tenant that has an entry every
// second, with the default quantum of 3 s. Edges are ranges that cut two
// quanta.
func BenchmarkRange(b *testing.B) {
	for _, window := range []time.Duration{15 * time.Second, 15 * time.Minute, 48 * time.Hour} {
		for _, c := range []struct {
			name  string
			cache int64
			shift time.Duration
		}{{"Warm", 1 << 30, 0}, {"Edges", 1 << 30, 1500 * time.Millisecond}, {"Cold", -1, 0}} {
			b.Run(fmt.Sprintf("%s=%v", c.name, window), func(b *testing.B) {
				benchmarkRange(b, c.cache, after(0).Add(c.shift), window)
			})
		}
	}
}

func benchmarkRange(b *testing.B, cache int64, from time.Time, window time.Duration) {
	b.ReportAllocs()
	idx := index.NewMemIndex()
	sum := func(parts []int) (total int, err error) {
		for _, n := range parts {
			total += n
		}
		return total, nil
	}
	q, err := bucket.NewQuantizer(idx, numbers{}, sum, &bucket.QuantizerOptions[int]{
		CacheBytes: cache, Size: func(int) int64 { return 8 }})
	if err != nil {
		b.Fatal(err)
	}
	for at := from.Add(-time.Minute); at.Before(from.Add(window + time.Minute)); at = at.Add(time.Second) {
		row := index.RowAt("a", at.UnixNano())
		if err := idx.Put(b.Context(), row, index.Entry{Time: at.UnixNano(), Key: row.BlobKey(at.UnixNano())}); err != nil {
			b.Fatal(err)
		}
	}
	ask := func() {
		total, err := q.Range(b.Context(), "a", from, from.Add(window), nil)
		if err != nil || total.Value != int(window/time.Second) {
			b.Fatalf("got %d, %v", total.Value, err)
		}
	}
	ask() // warms the cache if there is one
	for b.Loop() {
		ask()
	}
	b.ReportMetric(window.Seconds(), "entries/op")
}
