package wire

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"github.com/timeblob/timeblob/reports/report"
)

// DefaultMaxBytes is how many bytes of msgpack a report may have, unless a [Codec]
// has another limit: 64 MiB, about 80 times the report of a busy Kubernetes node.
const DefaultMaxBytes = 64 << 20

// A Codec encodes reports the way Scope stores them: gzip'd msgpack. The zero
// value is ready to use, by any number of goroutines at once.
type Codec struct {
	// Format is how Encode compresses. Decode reads every format.
	Format Format
	// MaxBytes is how many bytes of msgpack a report may have; 0 means
	// [DefaultMaxBytes]. Decode and Encode refuse a longer report with a
	// [*TooLargeError].
	MaxBytes int64
}

func (c Codec) limit() int64 {
	if c.MaxBytes > 0 {
		return c.MaxBytes
	}
	return DefaultMaxBytes
}

// Encode returns the report as a blob, see [AppendMsgpack].
func (c Codec) Encode(r *report.Report) ([]byte, error) {
	b := buffers.Get().(*buffer)
	defer b.release()
	plain, err := AppendMsgpack(b.plain[:0], r)
	b.plain = plain
	switch {
	case err != nil:
		return nil, err
	case int64(len(plain)) > c.limit():
		return nil, fmt.Errorf("encode report: %w", &TooLargeError{What: "encoded report", Limit: c.limit()})
	}
	b.packed = c.pack(b.packed[:0], plain)
	return bytes.Clone(b.packed), nil
}

// Decode returns the report in a blob of any format, see [DecodeMsgpack]. The
// report does not keep the blob. The error is one of [ReadBlob] or a
// [*SyntaxError].
func (c Codec) Decode(blob []byte) (*report.Report, error) {
	r, _, err := c.decode(blob, unpack)
	return r, err
}

// DecodeToKeep is Decode of a posted blob, which must be gzip. It also reports
// whether the blob may be stored instead of the result of Encode. It may if it
// holds nothing that the report does not hold, if it has the form that old readers
// know, and if it is short or compressed to a quarter. Blobs of probes may be kept.
// To keep a blob saves more time than decoding takes.
func (c Codec) DecodeToKeep(blob []byte) (r *report.Report, keep bool, err error) {
	return c.decode(blob, inflateBlob)
}

func (c Codec) decode(blob []byte, unpack func(dst, blob []byte, limit int64) ([]byte, error)) (r *report.Report, keep bool, err error) {
	b := buffers.Get().(*buffer)
	defer b.release()
	plain, err := unpack(b.plain[:0], blob, c.limit())
	b.plain = plain
	if err != nil {
		return nil, false, fmt.Errorf("decode report: %w", err)
	}
	r, native, err := decodeMsgpack(plain, len(plain))
	return r, native && packedWell(len(blob), len(plain)), err
}

// short is the length, in bytes, up to which a blob's compression does not matter.
const short = 4 << 10

func packedWell(size, plain int) bool { return size <= short || size <= plain/4 }

// DecodeFile returns the report in a file by the ending of its name:
// ".msgpack.gz", ".msgpack", ".json.gz" or ".json". What ends in .gz may be zstd.
// MaxBytes bounds what the file may hold, inflated. The errors are the errors of
// Decode.
func (c Codec) DecodeFile(name string, data []byte) (*report.Report, error) {
	inner, packed := strings.CutSuffix(name, ".gz")
	decode, ok := decoderOf(inner)
	if !ok {
		return nil, fmt.Errorf("decode %s: the name must end in .msgpack.gz, .msgpack, .json.gz or .json", name)
	}
	read := readPlain
	if packed {
		read = ReadBlob
	}
	plain, err := read(bytes.NewReader(data), c.limit())
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", name, err)
	}
	r, err := decode(plain)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

func decoderOf(name string) (func([]byte) (*report.Report, error), bool) {
	switch {
	case strings.HasSuffix(name, ".msgpack"):
		return DecodeMsgpack, true
	case strings.HasSuffix(name, ".json"):
		return DecodeJSON, true
	}
	return nil, false
}

// A buffer holds the msgpack and the compressed form of a report while it is
// encoded or decoded.
type buffer struct{ plain, packed []byte }

// maxKept is how many bytes a buffer may hold to be used again.
const maxKept = 4 << 20

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func (b *buffer) release() {
	if cap(b.plain)+cap(b.packed) <= maxKept {
		buffers.Put(b)
	}
}

// Upgrading is a Codec whose Decode also upgrades the report, so that what holds
// decoded reports holds upgraded ones.
type Upgrading struct{ Codec }

// Decode returns the upgraded report of a blob.
func (c Upgrading) Decode(blob []byte) (*report.Report, error) {
	r, err := c.Codec.Decode(blob)
	if err != nil {
		return nil, err
	}
	return report.Upgrade(r)
}

// pack appends the compressed form of plain to dst.
func (c Codec) pack(dst, plain []byte) []byte {
	if c.Format == Zstd {
		return zstdWriter().EncodeAll(plain, dst)
	}
	return appendGzip(dst, plain)
}
