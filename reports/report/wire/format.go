package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// A Format says how blobs are compressed. A blob's first bytes tell its format, so
// that one store may hold blobs of both.
type Format byte

const (
	// Gzip is the format of Scope's blobs and of posted reports.
	Gzip Format = iota
	// Zstd is Zstandard (RFC 8878). It takes less time than gzip, and Scope cannot
	// read it.
	Zstd
)

var formatNames = [...]string{Gzip: "gzip", Zstd: "zstd"}

// String returns "gzip" or "zstd".
func (f Format) String() string { return formatNames[f] }

// MarshalText returns "gzip" or "zstd".
func (f Format) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads "gzip" or "zstd".
func (f *Format) UnmarshalText(name []byte) error {
	for known, text := range formatNames {
		if string(name) == text {
			*f = Format(known)
			return nil
		}
	}
	return errors.New("must be " + strings.Join(formatNames[:], " or "))
}

// IsBlob reports whether data begins as a blob of either format does. Four bytes
// suffice.
func IsBlob(data []byte) bool {
	return bytes.HasPrefix(data, []byte(gzipHead[:2])) || isZstd(data)
}

// unpack appends what a blob of either format holds to dst, which is empty but may
// have a capacity. The result is at most limit bytes long.
func unpack(dst, blob []byte, limit int64) ([]byte, error) {
	if isZstd(blob) {
		return unzstd(dst, blob, limit)
	}
	return inflateBlob(dst, blob, limit)
}

// zstdHead is what a frame of zstd begins with.
const zstdHead = "\x28\xb5\x2f\xfd"

func isZstd(blob []byte) bool { return bytes.HasPrefix(blob, []byte(zstdHead)) }

// zstdWindow is how far back a blob may refer, in bytes. It bounds the memory of
// readers, besides what they read.
const zstdWindow = 8 << 20

// zstdWriter returns the encoder of blobs, which any number of goroutines may use.
var zstdWriter = sync.OnceValue(func() *zstd.Encoder {
	zw, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstdWindow)) // the options are valid
	return zw
})

// zstdReader returns the decoder of blobs, which any number of goroutines may use.
// It writes no further than the capacity of its destination.
var zstdReader = sync.OnceValue(func() *zstd.Decoder {
	zr, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecodeAllCapLimit(true)) // the options are valid
	return zr
})

// unzstd is unpack of a blob in zstd.
func unzstd(dst, blob []byte, limit int64) ([]byte, error) {
	dst = slices.Grow(dst, zstdSize(blob, limit))
	most := int(min(limit, int64(cap(dst))))
	plain, err := zstdReader().DecodeAll(blob, dst[:0:most])
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) && int64(most) < limit {
		return unzstdBySteps(dst, blob, limit)
	}
	return plain, zstdError(err, limit)
}

// zstdSize guesses what a blob inflates to. As with gzip, what the blob says is not
// believed beyond a ratio that reports do not reach.
func zstdSize(blob []byte, limit int64) int {
	var head zstd.Header
	if head.Decode(blob) != nil || !head.HasFCS {
		return int(min(limit, int64(len(blob))*maxRatio) + room)
	}
	return int(min(uint64(limit), head.FrameContentSize, uint64(len(blob))*maxRatio) + room)
}

// unzstdBySteps is unzstd of a blob that holds more than it was trusted to hold. The
// memory that is allocated follows what the blob really holds.
func unzstdBySteps(dst, blob []byte, limit int64) ([]byte, error) {
	zr, err := zstd.NewReader(bytes.NewReader(blob), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return dst, zstdError(err, limit)
	}
	defer zr.Close()
	plain, err := readAll(dst, zr, limit)
	return plain, zstdError(err, limit)
}

func zstdError(err error, limit int64) error {
	var large *TooLargeError
	switch {
	case err == nil || errors.As(err, &large):
		return err
	case errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return &TooLargeError{What: "report body", Limit: limit}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("zstd: %w", ErrTruncated)
	case errors.Is(err, zstd.ErrCRCMismatch):
		return fmt.Errorf("zstd: %w", ErrChecksum)
	}
	return fmt.Errorf("zstd: %w: %s", ErrCorrupt, strings.TrimPrefix(err.Error(), "zstd: "))
}

// ReadBody reads what src holds to its end: as it is or, if gzipped, inflated.
// The result is not longer than limit bytes. The memory that reading takes is
// proportional to what src holds and to the result.
//
// The errors are a [*TooLargeError], and for what is compressed [ErrTruncated],
// [ErrTrailing], [ErrChecksum] and [ErrCorrupt], each wrapped. An error of src
// stays recognizable, too.
func ReadBody(src io.Reader, gzipped bool, limit int64) ([]byte, error) {
	if !gzipped {
		return readPlain(src, limit)
	}
	blob, err := readPacked(src, limit)
	if err != nil {
		return nil, err
	}
	return inflateBlob(nil, blob, limit)
}

// ReadBlob reads a blob, in gzip or zstd, as ReadBody reads a body. It returns the
// same errors.
func ReadBlob(src io.Reader, limit int64) ([]byte, error) {
	blob, err := readPacked(src, limit)
	if err != nil {
		return nil, err
	}
	return unpack(nil, blob, limit)
}

func readPlain(src io.Reader, limit int64) ([]byte, error) { return readAll(nil, src, limit) }

// readPacked reads what inflates to at most limit bytes. What cannot be compressed
// becomes longer by 5 bytes for each 64 kB, in gzip, and by less in zstd. A longer
// body inflates to more than limit, which its error says.
func readPacked(src io.Reader, limit int64) ([]byte, error) {
	packed, err := readAll(nil, src, limit+limit/1024+headerRoom)
	if large, ok := errors.AsType[*TooLargeError](err); ok {
		large.Limit = limit
	}
	return packed, err
}

// headerRoom is how long the header and the trailer of a blob may be.
const headerRoom = 4 << 10
