// Package wal tells a damaged write-ahead log of Pebble from one whose last
// write was cut short by a crash. Pebble itself takes some damage for a cut, and
// then silently forgets what follows it: damage in the last 32 KiB, in a log
// without sync offsets, and in the bytes that hold a log's number.
//
// # Format
//
// A log is a sequence of blocks of 32 KiB, and a block one of chunks, which do
// not cross blocks. The rest of a block is zero. A record is one full chunk, or a
// first, any number of middle ones and a last. Numbers are little-endian:
//
//	checksum, 4 | length, 2 | type, 1 | log number, 4 | payload        types 5 to 8
//	checksum, 4 | length, 2 | type, 1 | log number, 4 | synced, 8 | payload   9 to 12
//
// The checksum is a masked CRC-32C of all that follows the length. Synced is the
// length of the log that was on disk when the chunk was written. A log that was
// closed ends with a chunk of type 5 whose checksum and length are 0 and whose
// log number is one more.
package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

const (
	blockSize    = 32 << 10
	shortHeader  = 11
	longHeader   = 19
	firstType    = 5 // full, first, middle, last without a synced length
	firstSynced  = 9 // the same with one
	lastType     = 12
	trailerBytes = shortHeader
)

// Log is what a log holds.
type Log struct {
	End    int64 // its length up to the last whole chunk
	Record int64 // its length up to the last whole record
	Size   int64 // the file's length
	Closed bool  // it ends as a log does that was closed
	Cut    bool  // bytes follow End that are no chunk, or the last record is not whole
	whole  int64 // like End, with padding and the mark of a closed log
	proof  int64 // a length that was on disk by the chunks behind End
	behind bool  // a chunk without a synced length, or the mark of a closed log, stands behind End
}

// Damage returns what proves that the log was longer than what can be read, "" for
// nothing. Synced is the length that was on disk by other knowledge, 0 for none.
func (l *Log) Damage(synced int64) string {
	switch {
	case synced > l.whole:
		return fmt.Sprintf("%d bytes were on disk, of which only the first %d can be read", synced, l.End)
	case l.proof > l.End:
		return fmt.Sprintf("cannot be read from byte %d on, and %d bytes were on disk", l.End, l.proof)
	case l.behind:
		return fmt.Sprintf("cannot be read from byte %d on, although more data follows", l.End)
	}
	return ""
}

// chunk is one chunk's header.
type chunk struct {
	kind   byte // 0 for full, 1 first, 2 middle, 3 last
	size   int  // with header
	synced int64
	long   bool
}

// parse reads the chunk that b begins with, of a log number.
func parse(b []byte, number uint32) (c chunk, ok bool) {
	if len(b) < shortHeader || b[6] < firstType || b[6] > lastType || binary.LittleEndian.Uint32(b[7:]) != number {
		return chunk{}, false
	}
	c.kind, c.size = b[6]-firstType, shortHeader
	if c.long = b[6] >= firstSynced; c.long {
		if len(b) < longHeader {
			return chunk{}, false
		}
		c.kind, c.size = b[6]-firstSynced, longHeader
		c.synced = int64(binary.LittleEndian.Uint64(b[11:]))
	}
	c.size += int(binary.LittleEndian.Uint16(b[4:]))
	if c.size > len(b) || binary.LittleEndian.Uint32(b) != checksum(b[6:c.size]) {
		return chunk{}, false
	}
	return c, true
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns the masked CRC-32C, as LevelDB and its heirs have it.
func checksum(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// scanner reads a log.
type scanner struct {
	visit  func(record []byte) // nil for none
	record []byte              // what has come of a record
	log    Log
	number uint32
	inside bool // a record has begun
	ended  bool // what follows is not part of the log
}

// Read reads a whole log of a number and calls visit, unless it is nil, with each
// record that is whole, also with those behind a hole. A record is valid during
// the call. Read returns an error only when r does.
func Read(r io.Reader, number uint64, visit func(record []byte)) (*Log, error) {
	s := &scanner{number: uint32(number), visit: visit}
	block := make([]byte, blockSize)
	for {
		n, err := io.ReadFull(r, block)
		s.block(block[:n])
		s.log.Size += int64(n)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			s.log.Cut = s.log.Cut || s.inside
			return &s.log, nil
		case err != nil:
			return nil, err
		}
	}
}

// block reads the log's next block.
func (s *scanner) block(b []byte) {
	at := 0
	for !s.ended && at < len(b) {
		if padding(b[at:], len(b)) {
			s.log.whole = s.log.Size + int64(len(b))
			return
		}
		c, ok := parse(b[at:], s.number)
		if !ok || s.inside != (c.kind >= 2) {
			s.end(b[at:])
			break
		}
		s.take(c, b[at:])
		at += c.size
		s.log.End = s.log.Size + int64(at)
		s.log.whole = s.log.End
		if !s.inside {
			s.log.Record = s.log.End
		}
	}
	if s.ended {
		s.behind(b[at:])
	}
}

// take adds a chunk, with which b begins, to the record that it is part of.
func (s *scanner) take(c chunk, b []byte) {
	if c.kind < 2 {
		s.record = s.record[:0]
	}
	s.inside = c.kind == 1 || c.kind == 2
	if s.visit == nil {
		return
	}
	header := shortHeader
	if c.long {
		header = longHeader
	}
	s.record = append(s.record, b[header:c.size]...)
	if !s.inside {
		s.visit(s.record)
	}
}

// padding tells whether the rest of a whole block is too short for a chunk.
func padding(rest []byte, block int) bool {
	return block == blockSize && len(rest) < longHeader && zero(rest)
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// end notes that no chunk begins with b.
func (s *scanner) end(b []byte) {
	s.ended = true
	if s.log.Closed = !s.inside && closed(b, s.number); s.log.Closed {
		s.log.whole += trailerBytes
	}
	s.log.Cut = !s.log.Closed && (s.inside || !zero(b))
	s.inside = false
}

// closed tells whether b begins with the mark of a closed log.
func closed(b []byte, number uint32) bool {
	return len(b) >= trailerBytes && zero(b[:6]) && b[6] == firstType && binary.LittleEndian.Uint32(b[7:]) == number+1
}

// behind looks for chunks behind the log's end.
func (s *scanner) behind(b []byte) {
	for at := 0; at+shortHeader <= len(b); {
		c, ok := parse(b[at:], s.number)
		switch {
		case ok && c.long:
			s.log.proof = max(s.log.proof, c.synced)
		case ok || closed(b[at:], s.number) && !s.log.Closed:
			s.log.behind = true
		}
		if ok && s.inside == (c.kind >= 2) {
			s.take(c, b[at:])
		} else if !padding(b[at:], len(b)) {
			s.inside = ok && c.kind < 2
			if s.inside {
				s.take(c, b[at:])
			}
		}
		at += max(c.size, 1)
	}
}
