package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
)

// ReadBody reads what src holds to its end: as it is or, if gzipped, inflated.
// The result is not longer than limit bytes, and the memory that reading takes
// is proportional to it.
//
// The errors are a [*TooLargeError], and for gzip [ErrTruncated],
// [ErrTrailing], [ErrChecksum] and [ErrCorrupt], each wrapped; what src itself
// returns stays recognizable, too.
func ReadBody(src io.Reader, gzipped bool, limit int64) ([]byte, error) {
	if !gzipped {
		return readAll(nil, src, limit)
	}
	return inflate(nil, bufio.NewReader(src), limit)
}

// room is how much readAll wants free, so that it sees the end.
const room = 512

// readAll appends what src holds to dst, which is empty but may have a
// capacity.
func readAll(dst []byte, src io.Reader, limit int64) ([]byte, error) {
	for {
		if cap(dst)-len(dst) < room {
			dst = slices.Grow(dst, int(min(max(room, int64(len(dst))), limit+room-int64(len(dst)))))
		}
		n, err := src.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case int64(len(dst)) > limit:
			return dst, &TooLargeError{What: "report body", Limit: limit}
		case errors.Is(err, io.EOF):
			return dst, nil
		case err != nil:
			return dst, fmt.Errorf("read report body: %w", err)
		}
	}
}

// scanner is a reader that gzip takes from no more than it needs.
type scanner interface {
	io.Reader
	io.ByteScanner
}

var gunzips = sync.Pool{New: func() any { return new(gzip.Reader) }}

// inflate appends what a file of gzip holds to dst, which is empty but may have
// a capacity. Such a file may have several members.
func inflate(dst []byte, src scanner, limit int64) ([]byte, error) {
	zr := gunzips.Get().(*gzip.Reader)
	defer gunzips.Put(zr)
	for more := true; more; {
		if err := zr.Reset(src); err != nil {
			return dst, gzipError(err)
		}
		zr.Multistream(false)
		var err error
		if dst, err = readAll(dst, zr, limit); err != nil {
			return dst, gzipError(err)
		}
		if more, err = hasMember(src); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// hasMember tells whether another member follows the one just read.
func hasMember(src scanner) (bool, error) {
	c, err := src.ReadByte()
	switch {
	case errors.Is(err, io.EOF):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read report body: %w", err)
	case c != 0x1f:
		return false, fmt.Errorf("gunzip: %w", ErrTrailing)
	}
	return true, src.UnreadByte()
}

// gzipError says in this package's terms what went wrong.
func gzipError(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("gunzip: %w", ErrTruncated)
	case errors.Is(err, gzip.ErrChecksum):
		return fmt.Errorf("gunzip: %w", ErrChecksum)
	case errors.Is(err, gzip.ErrHeader), errors.As(err, &corrupt):
		return fmt.Errorf("gunzip: %w: %w", ErrCorrupt, err)
	}
	return err
}

// inflatedSize guesses what a blob inflates to. The blob says so itself in its
// last bytes, but what it says is not believed beyond a ratio that reports do
// not reach.
func inflatedSize(blob []byte, limit int64) int {
	const ratio = 32
	if len(blob) < 18 {
		return 0
	}
	tail := blob[len(blob)-4:]
	size := int64(tail[0]) | int64(tail[1])<<8 | int64(tail[2])<<16 | int64(tail[3])<<24
	return int(min(size, limit, int64(len(blob))*ratio))
}

// inflateBlob inflates a blob into dst, which is empty but may have a capacity.
func inflateBlob(dst, blob []byte, limit int64) ([]byte, error) {
	dst = slices.Grow(dst, inflatedSize(blob, limit)+room)
	return inflate(dst, bytes.NewReader(blob), limit)
}
