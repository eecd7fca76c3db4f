package wire

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

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
