package journal

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
)

const (
	windowSize = 256 << 10 // bytes of a file that a scan holds in memory
	blockSize  = 4 << 10   // bytes that are given up together when they cannot be read
)

// gap is a stretch of a segment that holds no readable record.
type gap struct {
	offset, bytes int64
	reason        string
}

// scanner reads a segment's records one after the other. It holds a bounded
// part of the file in memory, whatever the file claims.
type scanner struct {
	from io.ReaderAt
	size int64 // of the file
	mark mark

	at     int64 // where the next record should begin
	window []byte
	start  int64 // offset of the window in the file
	fault  error // of the last read that failed
}

func newScanner(from io.ReaderAt, size int64, m mark) *scanner {
	return &scanner{from: from, size: size, mark: m, at: min(headerSize, size)}
}

// next returns the next readable record and its offset. A gap before it has
// bytes > 0. At the end of the file ok is false, and the gap is what follows
// the last record.
func (s *scanner) next() (h head, offset int64, before gap, ok bool) {
	before.offset = s.at
	for s.at < s.size {
		h, reason := s.check(s.at)
		if reason == "" {
			offset, s.at = s.at, s.at+h.size()
			before.bytes = offset - before.offset
			return h, offset, before, true
		}
		if before.reason == "" {
			before.reason = reason
		}
		if s.fault != nil {
			before.reason, s.fault = s.fault.Error(), nil
		}
		s.at = s.find(s.at + 1)
	}
	before.bytes = s.size - before.offset
	return h, s.size, before, false
}

// check reads the record at an offset. The reason says why it is none.
func (s *scanner) check(at int64) (h head, reason string) {
	b := s.bytes(at, headSize)
	h, ok := parseHead(b, s.mark)
	switch {
	case len(b) < headSize:
		return h, fmt.Sprintf("a record's head is cut: %d bytes of %d", len(b), headSize)
	case !ok:
		return h, "a record's head is damaged"
	case h.size() > s.size-at:
		return h, fmt.Sprintf("a record is cut: %d bytes of %d", s.size-at, h.size())
	case s.sum(at+headSize, at+h.size()) != h.body:
		return h, "a record's checksum is wrong"
	}
	return h, ""
}

// sum returns the CRC32C of a stretch of the file.
func (s *scanner) sum(from, to int64) uint32 {
	var sum uint32
	for from < to {
		b := s.bytes(from, int(min(to-from, windowSize)))
		sum = crc32.Update(sum, castagnoli, b)
		from += int64(len(b))
	}
	return sum
}

// find returns the next offset, from at on, at which the mark stands. Without
// one it returns the size of the file.
func (s *scanner) find(at int64) int64 {
	for s.size-at >= markSize {
		b := s.bytes(at, int(min(s.size-at, windowSize)))
		if i := bytes.Index(b, s.mark[:]); i >= 0 {
			return at + int64(i)
		}
		at += int64(len(b)) - (markSize - 1)
	}
	return s.size
}

// bytes returns n bytes of the file at an offset, fewer at its end. They are
// valid until the next call. Blocks that cannot be read are zero.
func (s *scanner) bytes(at int64, n int) []byte {
	n = int(min(int64(n), s.size-at))
	if at < s.start || at+int64(n) > s.start+int64(len(s.window)) {
		s.load(at, int(min(windowSize, s.size-at)))
	}
	from := at - s.start
	return s.window[from : from+int64(n)]
}

// load reads n bytes into the window, and what stands before them in the first
// block.
func (s *scanner) load(at int64, n int) {
	n += int(at % blockSize)
	at -= at % blockSize
	if cap(s.window) < n {
		s.window = make([]byte, min(s.size, windowSize+blockSize))
	}
	s.start, s.window = at, s.window[:n]
	if _, err := s.from.ReadAt(s.window, at); err == nil {
		return
	}
	for i := 0; i < n; i += blockSize {
		block := s.window[i:min(i+blockSize, n)]
		if _, err := s.from.ReadAt(block, at+int64(i)); err != nil {
			clear(block)
			s.fault = err
		}
	}
}

// meta returns a copy of a record's meta. It returns nil for one that is
// longer than a scan may hold.
func (s *scanner) meta(h head, offset int64) []byte {
	if h.meta > windowSize {
		return nil
	}
	return bytes.Clone(s.bytes(offset+headSize, int(h.meta)))
}

// maxTries is how many heads of records findMark follows. Each may cost a look at the whole file.
const maxTries = 1000

// findMark returns the mark of a segment whose header is damaged. It is the mark of the first
// record that is followed by whole records up to the end of the file. A record that somebody
// has put into a blob is not followed so. Without one, the bytes after the header are taken
// for the mark.
func findMark(from io.ReaderAt, size int64) (m mark) {
	s, chain := newScanner(from, size, m), newScanner(from, size, m)
	for at, tries := s.at, 0; size-at >= headSize && tries < maxTries; at++ {
		b := s.bytes(at, headSize)
		if b[25]|b[26]|b[27] != 0 {
			continue
		}
		chain.mark = mark(b)
		if _, ok := parseHead(b, chain.mark); !ok {
			continue
		}
		tries++
		end := chain.follow(at)
		if end == size {
			return chain.mark
		}
		at = max(at, end-1)
	}
	copy(m[:], s.bytes(s.at, markSize))
	return m
}

// follow returns where the whole records end that follow each other from an offset on.
func (s *scanner) follow(at int64) (end int64) {
	for at < s.size {
		h, reason := s.check(at)
		if reason != "" {
			return at
		}
		at += h.size()
	}
	return at
}
