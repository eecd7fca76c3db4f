package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	ref "github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/tiered"
)

// store returns a store of reports over an authority.
func store(b *testing.B, authority tiered.Tier, opts *tiered.Options[*report.Report]) *tiered.Store[*report.Report] {
	b.Helper()
	return storeIn(b, wire.Gzip, authority, opts)
}

// storeIn returns a store whose blobs have a format.
func storeIn(b *testing.B, format wire.Format, authority tiered.Tier, opts *tiered.Options[*report.Report]) *tiered.Store[*report.Report] {
	b.Helper()
	if opts == nil {
		opts = &tiered.Options[*report.Report]{Memory: 1 << 30}
	}
	opts.Size = report.Size
	s, err := tiered.New(wire.Codec{Format: format}, authority, opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// BenchmarkWindow asks for a live window after each arriving report. merges/op does not count the merge of
// the report itself.
func BenchmarkWindow(b *testing.B) {
	for _, ticks := range []int{5, 100, 1200} {
		b.Run(fmt.Sprint(ticks, " ticks"), func(b *testing.B) {
			merges := 0
			w, err := bucket.NewWindow(time.Duration(ticks)*time.Second, func(parts []*report.Report) (*report.Report, error) {
				merges += len(parts) - 1
				return report.Merge(parts)
			})
			if err != nil {
				b.Fatal(err)
			}
			all := decoded(b, hosts)
			for i := range ticks {
				must(b, w.Add(all[i%len(all)]))
				w.Seal(time.Unix(int64(i), 0))
			}
			asked := 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				must(b, w.Add(all[i%len(all)]))
				before := merges
				_, err := w.Value()
				must(b, err)
				asked += merges - before
			}
			b.ReportMetric(float64(asked)/float64(b.N), "merges/op")
		})
	}
}

func must(b testing.TB, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

// BenchmarkFlush stores a tick of many tenants, on disk and in memory. Each tenant has one large report.
func BenchmarkFlush(b *testing.B) {
	for _, where := range []string{"disk", "memory"} {
		for _, tenants := range []int{1, 100} {
			b.Run(fmt.Sprint(where, " ", tenants, " tenants"), func(b *testing.B) {
				benchmarkFlush(b, where, tenants)
			})
		}
	}
}

func benchmarkFlush(b *testing.B, where string, tenants int) {
	opts := &bucket.CollectorOptions[*report.Report]{Size: report.Size, MaxPending: 1 << 40}
	var idx index.Index = index.NewMemIndex()
	var authority tiered.Tier = &tiered.MemTier{}
	if where == "disk" {
		db, err := local.Open(b.TempDir(), nil)
		must(b, err)
		b.Cleanup(func() { _ = db.Close() })
		idx, authority, opts.Committer = db.Index(), db.Blobs(), db
	}
	size := 0
	opts.Stored = func(_ string, _ index.Entry, n int) { size = n }
	c, err := bucket.NewCollector(idx, store(b, authority, nil), report.Merge, opts)
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
	b.ReportMetric(float64(tenants), "blobs/op")
}

// BenchmarkRange asks for a minute of three hosts, with merges of quanta in memory, with reports in memory,
// and with nothing in memory.
func BenchmarkRange(b *testing.B) {
	for _, c := range []struct {
		name           string
		quanta, memory int64
	}{
		{"quanta in memory", 1 << 30, 1 << 30},
		{"reports in memory", -1, 1 << 30},
		{"nothing in memory", -1, -1},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkRange(b, c.quanta, c.memory) })
	}
}

func benchmarkRange(b *testing.B, quanta, memory int64) {
	idx, authority := index.NewMemIndex(), &tiered.MemTier{}
	from := time.Unix(1_700_000_001, 0)
	to := from
	all := blobs(b, hosts)
	for i, blob := range all {
		to = from.Add(time.Duration(i+1) * time.Second)
		row := index.RowAt("a", to.UnixNano())
		e := index.Entry{Time: to.UnixNano(), Key: row.BlobKey(to.UnixNano())}
		must(b, authority.Put(b.Context(), e.Key, blob))
		must(b, idx.Put(b.Context(), row, e))
	}
	s := store(b, authority, &tiered.Options[*report.Report]{Memory: memory})
	q, err := bucket.NewQuantizer(idx, s, report.Merge,
		&bucket.QuantizerOptions[*report.Report]{CacheBytes: quanta, Size: report.Size})
	must(b, err)
	ask := func() {
		_, err := q.Range(b.Context(), "a", from, to.Add(1), nil)
		must(b, err)
	}
	ask() // fills the memory
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
	b.ReportMetric(float64(len(all)), "entries/op")
}

// BenchmarkStore reads one report from each tier.
func BenchmarkStore(b *testing.B) {
	blob := blobs(b, node)[0]
	authority, cache := &tiered.MemTier{}, &tiered.MemTier{Overwrite: true}
	must(b, authority.Put(b.Context(), "k", blob))
	must(b, cache.Put(b.Context(), "k", blob))
	caches := []tiered.Cache{{Name: "near", Tier: cache}}
	for _, c := range []struct {
		name string
		opts tiered.Options[*report.Report]
	}{
		{"memory", tiered.Options[*report.Report]{Memory: 1 << 30}},
		{"cache", tiered.Options[*report.Report]{Memory: -1, Caches: caches}},
		{"authority", tiered.Options[*report.Report]{Memory: -1}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := store(b, authority, &c.opts)
			read := func() {
				_, found, err := s.One(b.Context(), ref.Ref{Key: "k"})
				if err != nil || !found {
					b.Fatal(found, err)
				}
			}
			read() // fills the memory
			b.ReportAllocs()
			b.SetBytes(int64(len(blob)))
			for b.Loop() {
				read()
			}
			b.ReportMetric(1, "hits/op")
		})
	}
}
