package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// BenchmarkQuantum asks for one quantum that holds so many blobs of small hosts: with its merge kept, with its
// values in memory, and with nothing in memory. make plots draws it.
func BenchmarkQuantum(b *testing.B) {
	for _, memory := range []struct {
		of             string
		quanta, values int64
	}{{"merge", 1 << 30, 1 << 30}, {"values", -1, 1 << 30}, {"nothing", -1, -1}} {
		for _, n := range []int{1, 5, 20, 60} {
			b.Run(fmt.Sprintf("memory=%s/blobs=%d", memory.of, n), func(b *testing.B) {
				benchmarkQuantum(b, n, memory.quanta, memory.values)
			})
		}
	}
}

func benchmarkQuantum(b *testing.B, n int, quanta, values int64) {
	idx, authority := index.NewMemIndex(), &tiered.MemTier{}
	from := time.Unix(1_699_999_200, 0) // a whole hour
	all := blobs(b, hosts)
	for i := range n {
		at := from.Add(time.Duration(i) * time.Minute / time.Duration(n)).UnixNano()
		row := index.RowAt("a", at)
		must(b, authority.Put(b.Context(), row.BlobKey(at), all[i%len(all)]))
		must(b, idx.Put(b.Context(), row, index.Entry{Time: at, Key: row.BlobKey(at)}))
	}
	s := store(b, authority, &tiered.Options[*report.Report]{Memory: values})
	q, err := bucket.NewQuantizer(idx, s, report.Merge,
		&bucket.QuantizerOptions[*report.Report]{Quantum: time.Minute, CacheBytes: quanta, Size: report.Size})
	must(b, err)
	ask := func() {
		answer, err := q.Range(b.Context(), "a", from, from.Add(time.Minute), nil)
		must(b, err)
		if answer.Entries != n {
			b.Fatalf("%d entries of %d", answer.Entries, n)
		}
	}
	ask() // fills the memory
	before := q.Stats()
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
	b.ReportMetric(float64(q.Stats().Merges-before.Merges)/float64(b.N), "merges/op")
}

// BenchmarkTenants adds a report of a small host for each tenant, and stores the tick in memory. make plots draws it.
func BenchmarkTenants(b *testing.B) {
	for _, tenants := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("tenants=%d", tenants), func(b *testing.B) {
			c, err := bucket.NewCollector(index.NewMemIndex(), store(b, &tiered.MemTier{}, nil), report.Merge,
				&bucket.CollectorOptions[*report.Report]{Size: report.Size, MaxPending: 1 << 40})
			must(b, err)
			b.Cleanup(func() { must(b, c.Close(context.Background())) })
			all := decoded(b, hosts)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				for t := range tenants {
					must(b, c.Add(b.Context(), fmt.Sprint("t", t), all[(i+t)%len(all)], nil))
				}
				must(b, c.Flush(b.Context()))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(tenants), "ns/tenant")
		})
	}
}
