package bench

import (
	"math"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// BenchmarkRollUp builds the minutes and the hour of a tenant with one large
// node, of a report every 3 s: what building costs with BuildAll. The reports are
// a few captured ones, again and again.
func BenchmarkRollUp(b *testing.B) {
	captured := blobs(b, node)
	end := time.Now().Add(-time.Hour).Truncate(time.Hour)
	begin := end.Add(-time.Hour)
	for b.Loop() {
		b.StopTimer()
		idx, tier := index.NewMemIndex(), new(tiered.MemTier)
		in := int64(0)
		for i := range 1200 {
			t := begin.Add(time.Duration(i) * 3 * time.Second).UnixNano()
			row := index.RowAt("acme", t)
			blob := captured[i%len(captured)]
			must(b, tier.Put(b.Context(), row.BlobKey(t), blob))
			must(b, idx.Put(b.Context(), row, index.Entry{Time: t, Key: row.BlobKey(t), Size: int64(len(blob))}))
			in += int64(len(blob))
		}
		q, err := bucket.NewQuantizer(idx, store(b, tier, nil), report.Merge, &bucket.QuantizerOptions[*report.Report]{
			Levels: &bucket.LevelOptions{Owned: true, Build: bucket.BuildAll}})
		must(b, err)
		used := processorTime()
		b.StartTimer()
		done, err := q.RollUp(b.Context(), "acme", begin, end, nil)
		b.StopTimer()
		must(b, err)
		b.ReportMetric((processorTime() - used).Seconds(), "cpu-s/hour")
		b.ReportMetric(float64(done.Built), "puts/hour")
		b.ReportMetric(float64(done.Void), "voids/hour")
		b.ReportMetric(float64(rolledBytes(b, tier))/float64(in), "bytes/byte")
		b.StartTimer()
	}
}

// rolledBytes returns the bytes of all roll-ups.
func rolledBytes(b *testing.B, tier *tiered.MemTier) (bytes int) {
	for key, err := range tier.List(b.Context(), index.RollUpPrefix, math.MinInt64, math.MaxInt64) {
		must(b, err)
		found, err := tier.Get(b.Context(), []string{key})
		must(b, err)
		bytes += len(found[0])
	}
	return bytes
}
