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
// The errors are a [*TooLargeError], and for gzip [ErrTruncated],
// [ErrTrailing], [ErrChecksum] and [ErrCorrupt], each wrapped. An error of src
// stays recognizable, too.
func ReadBody(src io.Reader, gzipped bool, limit int64) ([]byte, error) {
	if !gzipped {
		return readAll(nil, src, limit)
	}
	// What gzip cannot compress it makes 5 bytes longer for each 64 kB.
	blob, err := readAll(nil, src, limit+limit/1024+headerRoom)
	if err != nil {
		return nil, err
	}
	return gunzip(make([]byte, 0, inflatedSize(blob, limit)), blob, limit)
}

// headerRoom is how long the header and the trailer of gzip may be.
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
