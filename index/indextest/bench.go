package indextest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/index"
)

// RunBenchmarks measures puts, alone and 16 at a time, and queries of 15 s, of
// a minute and of a whole row that holds an entry every 3 s. It opens an index
// for each, which must be empty.
func RunBenchmarks(b *testing.B, open func(b *testing.B) index.Index) {
	b.Run("Put", func(b *testing.B) { benchmarkPut(b, open(b)) })
	b.Run("PutParallel", func(b *testing.B) { benchmarkPutParallel(b, open(b)) })
	for _, window := range []time.Duration{15 * time.Second, time.Minute, time.Hour} {
		b.Run(fmt.Sprintf("Query=%s", window), func(b *testing.B) { benchmarkQuery(b, open(b), window) })
	}
}

func benchmarkPut(b *testing.B, x index.Index) {
	b.ReportAllocs()
	t := rowOf("bench").Start()
	for b.Loop() {
		t += int64(3 * time.Second)
		row := index.RowAt("bench", t)
		if err := x.Put(b.Context(), row, entryAt(row, t)); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkPutParallel(b *testing.B, x index.Index) {
	b.ReportAllocs()
	var last atomic.Int64
	last.Store(rowOf("bench").Start())
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			t := last.Add(int64(3 * time.Second))
			row := index.RowAt("bench", t)
			if err := x.Put(b.Context(), row, entryAt(row, t)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func benchmarkQuery(b *testing.B, x index.Index, window time.Duration) {
	b.ReportAllocs()
	row := rowOf("bench")
	entries := make([]index.Entry, 1200)
	for i := range entries {
		entries[i] = entryAt(row, row.Start()+int64(i)*int64(3*time.Second))
	}
	if err := putAll(b, x, row, entries); err != nil {
		b.Fatal(err)
	}
	from := row.End() - int64(window)
	var found int
	for b.Loop() {
		got, err := x.Query(b.Context(), row, from, row.End())
		if err != nil {
			b.Fatal(err)
		}
		found = len(got)
	}
	if want := int(window / (3 * time.Second)); found != want {
		b.Fatalf("a query of %s found %d entries, want %d", window, found, want)
	}
	b.ReportMetric(float64(found), "entries/op")
}
