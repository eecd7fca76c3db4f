package peers

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/timeblob/timeblob/reports/report/wire"
)

// budget bounds the bytes of large answers that are read at a time.
type budget struct {
	max  int64
	used atomic.Int64
}

// errBudget says that large answers take all the room.
var errBudget = errors.New("other answers of collectors take all the room that there is for large ones")

// metered reads an answer. Its bytes beyond the first freeBytes count in the budget until it is
// released.
type metered struct {
	src    io.Reader
	budget *budget
	read   int64
	taken  int64
}

// freeBytes is how many bytes of each answer count in no budget, so that endless answers of some
// collectors stop no usual ones.
const freeBytes = 4 << 20

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.src.Read(p)
	m.read += int64(n)
	if more := m.read - freeBytes - m.taken; more > 0 {
		m.taken += more
		if m.budget.used.Add(more) > m.budget.max {
			return n, errBudget
		}
	}
	return n, err
}

func (m *metered) release() { m.budget.used.Add(-m.taken) }

// A buffer has firstRead bytes at first, and the next ones are twice as large up to lastRead.
const firstRead, lastRead = 4 << 10, 1 << 20

// readAll reads a source of at most limit bytes. What it has read stays where it is until the
// end, because a buffer that grows takes up to three times as much memory.
func readAll(src io.Reader, limit int64) ([]byte, error) {
	chunks := [][]byte{make([]byte, 0, firstRead)}
	for length := int64(0); ; {
		last := &chunks[len(chunks)-1]
		if len(*last) == cap(*last) {
			chunks = append(chunks, make([]byte, 0, min(2*cap(*last), lastRead)))
			continue
		}
		n, err := src.Read((*last)[len(*last):cap(*last)])
		*last = (*last)[:len(*last)+n]
		length += int64(n)
		switch {
		case length > limit:
			return nil, tooLarge(limit)
		case err == io.EOF && len(chunks) == 1:
			return chunks[0], nil
		case err == io.EOF: // an error that wraps io.EOF says that the end is missing
			return slices.Concat(chunks...), nil
		case err != nil:
			return nil, fmt.Errorf("read an answer: %w", err)
		}
	}
}

func tooLarge(limit int64) error {
	return &wire.TooLargeError{What: "answer of a collector", Limit: limit}
}
