package bench

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// beside runs work and, as often in the same loop, base, and reports how much
// longer work takes: the median, since on a busy machine either may be held up.
func beside(b *testing.B, unit string, bytes int, base, work func()) {
	b.Helper()
	var ratios []float64
	b.ReportAllocs()
	b.SetBytes(int64(bytes))
	for b.Loop() {
		worked := timed(work)
		b.StopTimer()
		ratios = append(ratios, float64(worked)/float64(timed(base)))
		b.StartTimer()
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], unit)
}

func timed(f func()) time.Duration {
	begun := time.Now()
	f()
	return time.Since(begun)
}

func BenchmarkDecode(b *testing.B) {
	for _, from := range []string{node, hosts} {
		b.Run(from, func(b *testing.B) {
			all := blobs(b, from)
			inflated := 0
			for _, blob := range all {
				inflated += len(gunzip(b, blob))
			}
			beside(b, "x-gunzip", inflated,
				func() { each(b, all, func(blob []byte) { gunzip(b, blob) }) },
				func() { each(b, all, func(blob []byte) { decode(b, blob) }) })
		})
	}
}

func each[V any](b *testing.B, all []V, f func(V)) {
	b.Helper()
	for _, v := range all {
		f(v)
	}
}

// The measure: gzip's own reader and writer and buffers, all used again.
var (
	reader         = new(gzip.Reader)
	writer, _      = gzip.NewWriterLevel(nil, 6)
	inflated, blob bytes.Buffer
)

func gunzip(b *testing.B, blob []byte) []byte {
	b.Helper()
	if err := reader.Reset(bytes.NewReader(blob)); err != nil {
		b.Fatal(err)
	}
	inflated.Reset()
	if _, err := io.Copy(&inflated, reader); err != nil {
		b.Fatal(err)
	}
	return inflated.Bytes()
}

func decode(b *testing.B, blob []byte) *report.Report {
	b.Helper()
	r, err := wire.Codec{}.Decode(blob)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func BenchmarkEncode(b *testing.B) {
	for _, from := range []string{node, hosts} {
		b.Run(from, func(b *testing.B) {
			all := decoded(b, from)
			var plain [][]byte
			size := 0
			for _, r := range all {
				text, err := wire.AppendMsgpack(nil, r)
				if err != nil {
					b.Fatal(err)
				}
				plain = append(plain, text)
				size += len(text)
			}
			beside(b, "x-gzip6", size,
				func() { each(b, plain, func(text []byte) { gzip6(b, text) }) },
				func() { each(b, all, func(r *report.Report) { encode(b, r) }) })
		})
	}
}

func gzip6(b *testing.B, text []byte) {
	b.Helper()
	blob.Reset()
	writer.Reset(&blob)
	if _, err := writer.Write(text); err != nil {
		b.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		b.Fatal(err)
	}
}

func encode(b *testing.B, r *report.Report) {
	b.Helper()
	if _, err := (wire.Codec{}).Encode(r); err != nil {
		b.Fatal(err)
	}
}
