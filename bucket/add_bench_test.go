package bucket_test

import (
	"context"
	"errors"
	"testing"

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

func (noBlobs) Encode(*sketch) ([]byte, error) { return nil, errors.New("not to be stored") }

// BenchmarkAdd adds sketches of 16 kB to one tick, each copied with the tick by
// a merge, or merged into the collector's own.
func BenchmarkAdd(b *testing.B) {
	size := func(*sketch) int64 { return 1 << 14 }
	for name, opts := range map[string]*bucket.CollectorOptions[*sketch]{
		"merge": {}, "into": {Into: maxInto, Clone: func(s *sketch) *sketch { c := *s; return &c }},
	} {
		b.Run(name, func(b *testing.B) {
			opts.Size, opts.MaxPending, opts.MaxTenantPending = size, 1<<60, 1<<60
			c, err := bucket.NewCollector(index.NewMemIndex(), noBlobs{}, mergeSketches, opts)
			if err != nil {
				b.Fatal(err)
			}
			v := &sketch{}
			for i := range v.registers {
				v.registers[i] = uint8(i % 7)
			}
			ctx := context.Background()
			b.ReportAllocs()
			b.SetBytes(1 << 14)
			for b.Loop() {
				if err := c.Add(ctx, "a", v, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(1, "merges/op")
		})
	}
}
