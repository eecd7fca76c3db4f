package httpapi

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
)

// BenchmarkPost takes the reports of three hosts, ticks among them, as probes
// post them.
func BenchmarkPost(b *testing.B) {
	f := setup(b, nil)
	corpus := capturedReports(b, "hosts/*/*.msgpack.gz")
	size, i := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		c := corpus[i%len(corpus)]
		f.post(b, c.Body)
		size += len(c.Body)
		if i++; i%3 == 0 {
			f.clock.Advance(3 * time.Second)
			f.live(b, "")
		}
		if i%60 == 0 {
			if err := f.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.SetBytes(int64(size / i))
	b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "reports/s")
}

// BenchmarkAnswer asks for the live window of a Kubernetes node.
func BenchmarkAnswer(b *testing.B) {
	f := setup(b, nil)
	for _, c := range capturedReports(b, "k8s-node/*.msgpack.gz") {
		f.post(b, c.Body)
	}
	for name, headers := range map[string][]string{
		"msgpack": {"Accept: application/msgpack", "Accept-Encoding: identity"}, "JSON": nil,
		"JSON+gzip": {"Accept-Encoding: gzip"},
	} {
		b.Run(name, func(b *testing.B) {
			size := 0
			b.ReportAllocs()
			for b.Loop() {
				size = f.serve("GET", "/api/report", nil, headers...).Body.Len()
			}
			b.SetBytes(int64(size))
		})
	}
}

// BenchmarkGzipLevels is why answers are compressed at the fastest level.
func BenchmarkGzipLevels(b *testing.B) {
	f := setup(b, nil)
	for _, c := range capturedReports(b, "k8s-node/*.msgpack.gz") {
		f.post(b, c.Body)
	}
	text := asJSON(b, f.live(b, ""))
	for _, level := range []int{1, 3, 6} {
		b.Run(fmt.Sprint(level), func(b *testing.B) {
			var n counter
			zw, err := gzip.NewWriterLevel(&n, level)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				n = 0
				zw.Reset(&n)
				_, _ = zw.Write(text)
				_ = zw.Close()
			}
			b.ReportMetric(float64(len(text))/float64(n), "ratio")
		})
	}
}

// counter counts what is written to it.
type counter int

var _ io.Writer = (*counter)(nil)

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
