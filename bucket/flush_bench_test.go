package bucket_test

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkFlushOfTenants costs the same for each value however many wait.
func BenchmarkFlushOfTenants(b *testing.B) {
	for _, tenants := range []int{1_000, 16_000} {
		b.Run(fmt.Sprint(tenants), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				c := newStores(b).collector(b, fast())
				for i := range tenants {
					mustAdd(b, c, fmt.Sprint("t", i), i)
				}
				b.StartTimer()
				if err := c.Flush(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed()/time.Nanosecond)/float64(b.N*tenants), "ns/value")
		})
	}
}
