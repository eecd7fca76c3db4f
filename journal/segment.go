package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	segmentSuffix = ".log"
	newSuffix     = ".tmp"    // a segment that is being created
	movingSuffix  = ".moving" // a segment that gets its right name back
	asideInfix    = ".damaged-"
)

// segment is one file of records.
type segment struct {
	header
	path string
	file file

	// The writer alone uses these, while it appends to the segment.
	size, synced        int64  // end of what was written, of what is on the disk
	lastSeq, lastSynced uint64 // the sequence numbers there

	// The ledger guards these.
	bytes   int64 // that are counted: all that was written and has succeeded
	live    int   // records that are not done
	touched time.Time
	damaged bool // is kept aside and not removed
}

func segmentName(id uint64) string { return fmt.Sprintf("%016x%s", id, segmentSuffix) }

// segmentID reads the name of a segment's file, also with movingSuffix.
func segmentID(name string) (id uint64, ok bool) {
	name = strings.TrimSuffix(name, movingSuffix)
	if n, err := fmt.Sscanf(name, "%016x"+segmentSuffix, &id); n != 1 || err != nil {
		return 0, false
	}
	return id, segmentName(id) == name
}

// createSegment makes the file of a segment whose first record has the given
// sequence number. The file is no part of the journal before it is named.
func createSegment(fs files, dir string, id, first uint64) (s *segment, err error) {
	s = &segment{header: header{id: id, first: first}, path: filepath.Join(dir, segmentName(id)+newSuffix), touched: time.Now()}
	rand.Read(s.mark[:])
	if s.file, err = fs.Open(s.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC); err != nil {
		return nil, err
	}
	if _, err = s.file.WriteAt(s.header.bytes(), 0); err != nil {
		return nil, errors.Join(err, s.file.Close(), fs.Remove(s.path))
	}
	s.size, s.synced, s.bytes = headerSize, headerSize, headerSize
	s.lastSeq, s.lastSynced = first-1, first-1
	return s, nil
}

// name gives the file of a new segment its name. Records of the segment before it, from this
// one's first on, do not count from then on.
func (s *segment) name(fs files) error {
	named := strings.TrimSuffix(s.path, newSuffix)
	if err := fs.Rename(s.path, named); err != nil {
		return err
	}
	s.path = named
	return nil
}

// read returns the record at an offset of the segment, its checksum verified.
func (s *segment) read(p place, id uint64) (kind byte, meta, blob []byte, err error) {
	b := make([]byte, p.size)
	if _, err := s.file.ReadAt(b, p.offset); err != nil && err != io.EOF { // a file that was cut is damaged
		return 0, nil, nil, err
	}
	h, ok := parseHead(b, s.mark)
	if !ok || h.id != id || h.size() != p.size || checksum(b[headSize:], nil) != h.body {
		return 0, nil, nil, &CorruptError{ID: id, File: s.path, Offset: p.offset}
	}
	end := headSize + int(h.meta)
	return h.kind, b[headSize:end:end], b[end:], nil
}
