package bench

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
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
	"github.com/timeblob/timeblob/reports/report/wire"
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

// windowTicks are the reports of BenchmarkAWSWindow, one a second.
const windowTicks = 15

// BenchmarkAWSWindow asks for 15 s of a large node that sends a report a second: with every blob from the bucket and
// the entries from the table, with every blob from memcached and the entries from memory, and from memory alone:
// the same question again. busy is the processor time divided by the time and the number of processors: 1 when reading, decoding
// and merging keep all processors at work.
func BenchmarkAWSWindow(b *testing.B) {
	for _, where := range []string{"bucket", "memcached", "memory"} {
		b.Run(where, func(b *testing.B) { benchmarkAWSWindow(b, where) })
	}
}

func benchmarkAWSWindow(b *testing.B, where string) {
	var idx index.Index = index.NewMemIndex()
	var tier tiered.Tier = new(tiered.MemTier)
	if where == "bucket" {
		idx, tier = servers(b)
	}
	from := time.Unix(1_700_000_001, 0) // the start of a quantum
	captured := blobs(b, node)
	var all [][]byte
	for i := range windowTicks {
		blob, t := captured[i%len(captured)], from.Add(time.Duration(i)*time.Second).UnixNano()
		row := index.RowAt("a", t)
		must(b, tier.Put(b.Context(), row.BlobKey(t), blob))
		must(b, idx.Put(b.Context(), row, index.Entry{Time: t, Key: row.BlobKey(t)}))
		all = append(all, blob)
	}
	opts, past := memoryOf(b, where)
	q, err := bucket.NewQuantizer(idx, store(b, tier, opts), report.Merge, past)
	must(b, err)
	ask := func() {
		_, err := q.Range(b.Context(), "a", from, from.Add(windowTicks*time.Second), nil)
		must(b, err)
	}
	warm(b, all, from, time.Second, opts)
	ask() // fills the memory
	var worked, waited time.Duration
	besideGunzipOf(b, all, func() time.Duration {
		begun := time.Now()
		took := timed(ask)
		worked, waited = worked+took, waited+time.Since(begun)
		return took
	})
	b.ReportMetric(float64(worked)/float64(waited)/float64(runtime.GOMAXPROCS(0)), "busy")
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

// BenchmarkAWSFlush stores a tick of 100 tenants in a bucket and a table. Each tenant has one large report, which came
// as a value, and is encoded, or as a blob, which is stored unchanged.
func BenchmarkAWSFlush(b *testing.B) {
	values, encoded := decoded(b, node), blobs(b, node)
	addValue := func(ctx context.Context, c *bucket.Collector[*report.Report], tenant string, i int) error {
		return c.Add(ctx, tenant, values[i%len(values)], nil)
	}
	for _, c := range []struct {
		as     string
		format wire.Format
		add    func(ctx context.Context, c *bucket.Collector[*report.Report], tenant string, i int) error
	}{
		{"values", wire.Gzip, addValue},
		{"values-zstd", wire.Zstd, addValue},
		{"blobs", wire.Gzip, func(ctx context.Context, c *bucket.Collector[*report.Report], tenant string, i int) error {
			return c.AddBlob(ctx, tenant, bucket.Encoded[*report.Report]{Blob: encoded[i%len(encoded)]}, nil)
		}},
	} {
		b.Run(c.as, func(b *testing.B) { benchmarkAWSFlush(b, c.format, c.add) })
	}
}

func benchmarkAWSFlush(b *testing.B, format wire.Format, add func(ctx context.Context, c *bucket.Collector[*report.Report], tenant string, i int) error) {
	const tenants = 100
	idx, tier := servers(b)
	size, now := 0, new(ticking)
	c, err := bucket.NewCollector(idx, storeIn(b, format, tier, nil), report.Merge, &bucket.CollectorOptions[*report.Report]{
		Size: report.Size, MaxPending: 1 << 40, Stored: func(_ string, _ index.Entry, n int) { size = n }, Now: now.time,
	})
	must(b, err)
	var worked time.Duration
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for t := range tenants {
			must(b, add(b.Context(), c, fmt.Sprint("t", t), i))
		}
		worked += timed(func() { must(b, c.Flush(b.Context())) })
		now.tick()
	}
	b.SetBytes(int64(size * tenants))
	b.ReportMetric(worked.Seconds()*1000/float64(b.N*tenants), "cpu-ms/tenant")
}

// ticking is a clock that goes on by a tick of 3 s after each flush. By the machine's clock, a collector that flushes all
// the time would have many more ticks in its window than a collector that flushes once a tick.
type ticking struct{ ticks atomic.Int64 }

func (c *ticking) time() time.Time {
	return time.Unix(1_700_000_001, 0).Add(time.Duration(c.ticks.Load()) * 3 * time.Second)
}

func (c *ticking) tick() { c.ticks.Add(1) }
