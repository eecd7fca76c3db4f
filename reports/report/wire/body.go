package wire

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

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
// becomes longer by 5 bytes for each 64 kB, in gzip, and by less in zstd.
func readPacked(src io.Reader, limit int64) ([]byte, error) {
	return readAll(nil, src, limit+limit/1024+headerRoom)
}

// headerRoom is how long the header and the trailer of a blob may be.
const headerRoom = 4 << 10

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
