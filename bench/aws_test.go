package bench

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/memcache"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/s3blob"
	"github.com/timeblob/timeblob/tiered"
)

// servers are an empty table and bucket on DynamoDB Local and versitygw. The benchmarks measure our code and
// these servers, but not Amazon's latency.
func servers(b *testing.B) (*dynamoindex.Index, *s3blob.Tier) {
	b.Helper()
	s3, _ := servertest.VersityGW(b)
	idx, err := dynamoindex.New(config(servertest.SharedDynamoDBLocal(b)), fmt.Sprint("bench-", time.Now().UnixNano()), nil)
	must(b, err)
	tier, err := s3blob.Open(config(s3.Endpoint), "bench", &s3blob.Options{PathStyle: true})
	must(b, err)
	b.Cleanup(func() { _, _ = idx.Close(), tier.Close() })
	must(b, idx.CreateTable(b.Context(), nil))
	must(b, tier.CreateBucket(b.Context()))
	return idx, tier
}

func config(endpoint string) aws.Config {
	return aws.Config{
		Region: servertest.Region, BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(servertest.AccessKey, servertest.SecretKey, ""),
	}
}

// BenchmarkAWSWindow asks for a window of five ticks of a large node: cold, with every blob from the bucket;
// from a warm memcached; and from memory, blobs or merges. The index is asked every time.
func BenchmarkAWSWindow(b *testing.B) {
	for _, where := range []string{"bucket", "memcached", "memory"} {
		b.Run(where, func(b *testing.B) { benchmarkAWSWindow(b, where) })
	}
}

func benchmarkAWSWindow(b *testing.B, where string) {
	idx, tier := servers(b)
	from := time.Unix(1_700_000_001, 0) // the start of a quantum
	const ticks, tick = 5, 3 * time.Second
	all := blobs(b, node)[:ticks]
	size := 0
	for i, blob := range all {
		t := from.Add(time.Duration(i) * tick).UnixNano()
		row := index.RowAt("a", t)
		must(b, tier.Put(b.Context(), row.BlobKey(t), blob))
		must(b, idx.Put(b.Context(), row, index.Entry{Time: t, Key: row.BlobKey(t)}))
		size += len(blob)
	}
	opts, past := memoryOf(b, where)
	q, err := bucket.NewQuantizer(idx, store(b, tier, opts), report.Merge, past)
	must(b, err)
	ask := func() {
		_, err := q.Range(b.Context(), "a", from, from.Add(ticks*tick), nil)
		must(b, err)
	}
	warm(b, all, from, tick, opts)
	ask() // fills the memory
	b.ReportAllocs()
	b.SetBytes(int64(size))
	for b.Loop() {
		ask()
	}
	b.ReportMetric(ticks, "entries/op")
}

// memoryOf returns the memory limits of the benchmark's store and quantizer.
func memoryOf(b *testing.B, where string) (*tiered.Options[*report.Report], *bucket.QuantizerOptions[*report.Report]) {
	b.Helper()
	opts := &tiered.Options[*report.Report]{Memory: -1}
	past := &bucket.QuantizerOptions[*report.Report]{CacheBytes: -1, Size: report.Size}
	switch where {
	case "memory":
		opts.Memory, past.CacheBytes = 1<<30, 1<<30
	case "memcached":
		address, _ := servertest.Memcached(b)
		cache, err := memcache.Open(b.Context(), memcache.List(address), &memcache.Options{
			TTL: time.Hour, Logger: slog.New(slog.DiscardHandler)})
		must(b, err)
		b.Cleanup(func() { _ = cache.Close() })
		opts.Caches = []tiered.Cache{{Name: where, Tier: cache}}
	}
	return opts, past
}

// warm puts every blob into the caches.
func warm(b *testing.B, all [][]byte, from time.Time, tick time.Duration, opts *tiered.Options[*report.Report]) {
	b.Helper()
	for i, blob := range all {
		t := from.Add(time.Duration(i) * tick).UnixNano()
		for _, c := range opts.Caches {
			must(b, c.Tier.Put(context.Background(), index.RowAt("a", t).BlobKey(t), blob))
		}
	}
}

// BenchmarkAWSFlush stores a tick of 100 tenants in a bucket and a table, ten at a time. Each tenant has one
// large report.
func BenchmarkAWSFlush(b *testing.B) {
	const tenants = 100
	idx, tier := servers(b)
	size := 0
	c, err := bucket.NewCollector(idx, store(b, tier, nil), report.Merge, &bucket.CollectorOptions[*report.Report]{
		Size: report.Size, MaxPending: 1 << 40, Stored: func(_ string, _ index.Entry, n int) { size = n },
	})
	must(b, err)
	all := decoded(b, node)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for t := range tenants {
			must(b, c.Add(b.Context(), fmt.Sprint("t", t), all[i%len(all)], nil))
		}
		must(b, c.Flush(b.Context()))
	}
	b.SetBytes(int64(size * tenants))
	b.ReportMetric(tenants, "blobs/op")
}
