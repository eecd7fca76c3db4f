package wire_test

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// node returns a report of a busy Kubernetes node, as stored and inflated.
func node(b *testing.B) (blob, plain []byte) {
	file := goldentest.Files(b, "k8s-node/*.msgpack.gz")[0]
	return goldentest.Read(b, file), goldentest.Inflate(b, file)
}

// ratio runs f in each iteration and base beside it, and reports the mean time of
// f, and how many times that of base it is when nothing disturbs them: both are
// taken from their fastest tenth, which other work on the machine does not blur.
func ratio(b *testing.B, unit string, base, f func()) {
	b.ReportAllocs()
	var times, baseTimes []time.Duration
	for b.Loop() {
		start := time.Now()
		base()
		middle := time.Now()
		f()
		times = append(times, time.Since(middle))
		baseTimes = append(baseTimes, middle.Sub(start))
	}
	var sum time.Duration
	for _, t := range times {
		sum += t
	}
	slices.Sort(times)
	slices.Sort(baseTimes)
	b.ReportMetric(float64(sum)/float64(len(times)), "ns/op")
	b.ReportMetric(float64(times[len(times)/10])/float64(baseTimes[len(baseTimes)/10]), unit)
}

func BenchmarkDecode(b *testing.B) {
	blob, plain := node(b)
	var zr gzip.Reader
	out := bytes.NewBuffer(make([]byte, 0, len(plain)+bytes.MinRead))
	gunzip := func() {
		out.Reset()
		if err := zr.Reset(bytes.NewReader(blob)); err != nil {
			b.Fatal(err)
		}
		if _, err := out.ReadFrom(&zr); err != nil || out.Len() != len(plain) {
			b.Fatal(out.Len(), err)
		}
	}
	ratio(b, "x-gunzip", gunzip, func() {
		if _, err := (wire.Codec{}).Decode(blob); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkDecodeMsgpack(b *testing.B) {
	_, plain := node(b)
	b.ReportAllocs()
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		if _, err := wire.DecodeMsgpack(plain); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	blob, plain := node(b)
	r, err := wire.Codec{}.Decode(blob)
	if err != nil {
		b.Fatal(err)
	}
	zw, err := gzip.NewWriterLevel(io.Discard, 6)
	if err != nil {
		b.Fatal(err)
	}
	out := bytes.NewBuffer(make([]byte, 0, len(plain)))
	zip := func() {
		out.Reset()
		zw.Reset(out)
		if _, err := zw.Write(plain); err != nil {
			b.Fatal(err)
		}
		if err := zw.Close(); err != nil {
			b.Fatal(err)
		}
	}
	size := 0
	ratio(b, "x-gzip", zip, func() {
		blob, err := wire.Codec{}.Encode(r)
		if err != nil {
			b.Fatal(err)
		}
		size = len(blob)
	})
	b.ReportMetric(float64(size), "blob-bytes")
}

func BenchmarkAppendMsgpack(b *testing.B) {
	benchmarkAppend(b, wire.AppendMsgpack)
}

func BenchmarkAppendJSON(b *testing.B) {
	benchmarkAppend(b, wire.AppendJSON)
}

func benchmarkAppend(b *testing.B, appendTo func([]byte, *report.Report) ([]byte, error)) {
	blob, _ := node(b)
	r, err := wire.Codec{}.Decode(blob)
	if err != nil {
		b.Fatal(err)
	}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		if dst, err = appendTo(dst[:0], r); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(dst)))
}

func BenchmarkDecodeJSON(b *testing.B) {
	blob, _ := node(b)
	r, err := wire.Codec{}.Decode(blob)
	if err != nil {
		b.Fatal(err)
	}
	data := []byte(text(r))
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := wire.DecodeJSON(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSize(b *testing.B) {
	blob, _ := node(b)
	r, err := wire.Codec{}.Decode(blob)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if report.Size(r) < 1<<20 {
			b.Fatal(report.Size(r))
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	blob, _ := node(b)
	r, err := wire.Codec{}.Decode(blob)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := report.Validate(r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkExamine is BenchmarkDecode, Validate and Upgrade in one.
func BenchmarkExamine(b *testing.B) {
	blob := goldentest.Read(b, goldentest.Files(b, "k8s-node/*.msgpack.gz")[0])
	b.ReportAllocs()
	b.SetBytes(int64(len(blob)))
	for b.Loop() {
		if f, err := (wire.Codec{}).Examine(blob); err != nil || f.Fault != nil {
			b.Fatal(f, err)
		}
	}
}
