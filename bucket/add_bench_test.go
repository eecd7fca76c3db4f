package bucket_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
)

// sketch has the size of a HyperLogLog sketch of 2^14 registers, and is merged
// as one is.
type sketch struct{ registers [1 << 14]uint8 }

func maxInto(dst, src *sketch) (*sketch, error) {
	for i, r := range src.registers {
		dst.registers[i] = max(dst.registers[i], r)
	}
	return dst, nil
}

func mergeSketches(parts []*sketch) (*sketch, error) {
	sum := *parts[0]
	for _, p := range parts[1:] {
		if _, err := maxInto(&sum, p); err != nil {
			return nil, err
		}
	}
	return &sum, nil
}

// noBlobs is a blob store for benchmarks that store nothing.
type noBlobs struct{ bucket.Blobs[*sketch] }

func (noBlobs) Encode(s *sketch) ([]byte, error) { return bytes.Clone(s.registers[:]), nil }

// BenchmarkAdd adds sketches of 16 kB to one tick, each copied with the tick by
// a merge, or merged into the collector's own. Into reports how many times as
// fast it is as a merge in the same run.
func BenchmarkAdd(b *testing.B) {
	v := &sketch{}
	for i := range v.registers {
		v.registers[i] = uint8(i % 7)
	}
	merge := addTo(b, bucket.CollectorOptions[*sketch]{})
	into := addTo(b, bucket.CollectorOptions[*sketch]{Into: maxInto, Clone: func(s *sketch) *sketch { c := *s; return &c }})
	b.Run("merge", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(1 << 14)
		for b.Loop() {
			merge(b, v)
		}
		b.ReportMetric(1, "merges/op")
	})
	b.Run("into", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(1 << 14)
		for b.Loop() {
			into(b, v)
		}
		b.ReportMetric(1, "merges/op")
		perInto := b.Elapsed().Seconds() / float64(b.N)
		begun := time.Now()
		for range 1000 {
			merge(b, v)
		}
		b.ReportMetric(time.Since(begun).Seconds()/1000/perInto, "times-as-fast")
	})
}

// addTo returns what adds a sketch to the open tick of a new collector.
func addTo(b *testing.B, opts bucket.CollectorOptions[*sketch]) func(*testing.B, *sketch) {
	opts.Size, opts.MaxPending, opts.MaxTenantPending = func(*sketch) int64 { return 1 << 14 }, 1<<60, 1<<60
	c, err := bucket.NewCollector(index.NewMemIndex(), noBlobs{}, mergeSketches, &opts)
	if err != nil {
		b.Fatal(err)
	}
	return func(b *testing.B, v *sketch) {
		if err := c.Add(b.Context(), "a", v, nil); err != nil {
			b.Fatal(err)
		}
	}
}
