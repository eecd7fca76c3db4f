package bucket_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// rawSketches is a codec of sketches as they are.
type rawSketches struct{}

func (rawSketches) Encode(s *sketch) ([]byte, error) { return s.registers[:], nil }

func (rawSketches) Decode(blob []byte) (*sketch, error) {
	return &sketch{registers: [1 << 14]uint8(blob)}, nil
}

// BenchmarkSteps asks for all steps of a range whose entries are 10 s apart, with
// no caches, and reports how many times as long one Range takes in the same run.
func BenchmarkSteps(b *testing.B) {
	for _, steps := range []struct {
		n    int
		step time.Duration
	}{{60, time.Minute}, {288, 5 * time.Minute}} {
		b.Run(fmt.Sprintf("%dx%v", steps.n, steps.step), func(b *testing.B) {
			benchmarkSteps(b, steps.n, steps.step)
		})
	}
}

func benchmarkSteps(b *testing.B, n int, step time.Duration) {
	idx, tier, end := index.NewMemIndex(), &tiered.MemTier{}, after(0).Add(time.Duration(n)*step)
	store, err := tiered.New(rawSketches{}, tier, &tiered.Options[*sketch]{Memory: -1})
	if err != nil {
		b.Fatal(err)
	}
	q, err := bucket.NewQuantizer(idx, store, mergeSketches, &bucket.QuantizerOptions[*sketch]{CacheBytes: -1})
	if err != nil {
		b.Fatal(err)
	}
	entries := 0
	for at := after(0); at.Before(end); at = at.Add(10 * time.Second) {
		row := index.RowAt("a", at.UnixNano())
		e := index.Entry{Time: at.UnixNano(), Key: row.BlobKey(at.UnixNano()), Size: 1 << 14}
		if err := errors.Join(tier.Put(b.Context(), e.Key, make([]byte, 1<<14)), idx.Put(b.Context(), row, e)); err != nil {
			b.Fatal(err)
		}
		entries++
	}
	var inRange time.Duration
	b.ReportAllocs()
	b.SetBytes(int64(entries) << 14)
	for b.Loop() {
		got := 0
		for s, err := range q.Steps(b.Context(), "a", after(0), end, step, nil) {
			if err != nil {
				b.Fatal(err)
			}
			got += s.Entries
		}
		b.StopTimer()
		begun := time.Now()
		a, err := q.Range(b.Context(), "a", after(0), end, nil)
		inRange += time.Since(begun)
		if err != nil || got != entries || a.Entries != entries {
			b.Fatalf("%d entries in steps, %d in the range, %v", got, a.Entries, err)
		}
		b.StartTimer()
	}
	b.ReportMetric(b.Elapsed().Seconds()/inRange.Seconds(), "ranges/op")
	b.ReportMetric(float64(entries), "entries/op")
}
