package bench

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// beside runs work and base equally often in one loop, and reports the processor time of work as a multiple
// of base's. Times are summed, so that each pays for its own garbage collection.
func beside(b *testing.B, unit string, bytes int, base, work func()) {
	b.Helper()
	var worked, based time.Duration
	b.ReportAllocs()
	b.SetBytes(int64(bytes))
	for b.Loop() {
		worked += timed(work)
		b.StopTimer()
		based += timed(base)
		b.StartTimer()
	}
	b.ReportMetric(float64(worked)/float64(based), unit)
}

func timed(f func()) time.Duration {
	begun := processorTime()
	f()
	return processorTime() - begun
}

// BenchmarkDecode decodes blobs, compared with gunzip of the same blobs.
func BenchmarkDecode(b *testing.B) {
	besideGunzip(b, func(b *testing.B, blob []byte) { decode(b, blob) })
}

// BenchmarkExamine checks and counts the content of blobs, as a collector does with posts, compared with
// gunzip of the same blobs.
func BenchmarkExamine(b *testing.B) {
	besideGunzip(b, func(b *testing.B, blob []byte) {
		if facts, err := (wire.Codec{}).Examine(blob); err != nil || facts.Fault != nil {
			b.Fatal(facts, err)
		}
	})
}

func besideGunzip(b *testing.B, work func(b *testing.B, blob []byte)) {
	for _, from := range []string{node, hosts} {
		b.Run(from, func(b *testing.B) {
			all := blobs(b, from)
			inflated := 0
			for _, blob := range all {
				inflated += len(gunzip(b, blob))
			}
			beside(b, "x-gunzip", inflated,
				func() { each(b, all, func(blob []byte) { gunzip(b, blob) }) },
				func() { each(b, all, func(blob []byte) { work(b, blob) }) })
		})
	}
}

// BenchmarkMerge merges decoded reports, compared with gunzip of their blobs.
func BenchmarkMerge(b *testing.B) {
	for _, from := range []string{node, hosts} {
		b.Run(from, func(b *testing.B) {
			all, parts := blobs(b, from), decoded(b, from)
			beside(b, "x-gunzip", 0,
				func() { each(b, all, func(blob []byte) { gunzip(b, blob) }) },
				func() {
					if _, err := report.Merge(parts); err != nil {
						b.Fatal(err)
					}
				})
			b.ReportMetric(float64(len(parts)), "merges/op")
		})
	}
}

func each[V any](b testing.TB, all []V, f func(V)) {
	b.Helper()
	for _, v := range all {
		f(v)
	}
}

// The base: gzip's own reader and writer, which are reused.
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

func decode(b testing.TB, blob []byte) *report.Report {
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

func encode(b testing.TB, r *report.Report) {
	b.Helper()
	if _, err := (wire.Codec{}).Encode(r); err != nil {
		b.Fatal(err)
	}
}
