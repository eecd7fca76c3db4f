package bench

import (
	"fmt"
	"testing"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// BenchmarkFormats encodes and decodes reports in each format of blobs, compared with gzip at level 6 and gunzip of
// the same reports. B/blob is the mean size of a blob.
func BenchmarkFormats(b *testing.B) {
	for _, from := range []string{node, hosts} {
		posted, values := blobs(b, from), decoded(b, from)
		for _, format := range []wire.Format{wire.Gzip, wire.Zstd} {
			codec := wire.Codec{Format: format}
			var plain, packed [][]byte
			inflated, size := 0, 0
			for _, r := range values {
				text, err := wire.AppendMsgpack(nil, r)
				must(b, err)
				blob, err := codec.Encode(r)
				must(b, err)
				plain, packed = append(plain, text), append(packed, blob)
				inflated, size = inflated+len(text), size+len(blob)
			}
			b.Run(fmt.Sprint("encode/", format, "/", from), func(b *testing.B) {
				beside(b, "x-gzip6", inflated,
					func() { each(b, plain, func(text []byte) { gzip6(b, text) }) },
					func() { each(b, values, func(r *report.Report) { _, err := codec.Encode(r); must(b, err) }) })
				b.ReportMetric(float64(size)/float64(len(values)), "B/blob")
			})
			b.Run(fmt.Sprint("decode/", format, "/", from), func(b *testing.B) {
				beside(b, "x-gunzip", inflated,
					func() { each(b, posted, func(blob []byte) { gunzip(b, blob) }) },
					func() { each(b, packed, func(blob []byte) { decode(b, blob) }) })
			})
		}
	}
}
