package s3blob_test

import (
	"testing"

	"github.com/timeblob/timeblob/s3blob"
	"github.com/timeblob/timeblob/tiered"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

func BenchmarkTier(b *testing.B) {
	for _, s := range servers {
		b.Run(s.name, func(b *testing.B) {
			endpoint, transport := s.start(b)
			f := open(b, endpoint, transport, s3blob.Options{})
			tiertest.RunBenchmarks(b, func(*testing.B) tiered.Tier { return f.Tier })
		})
	}
}
