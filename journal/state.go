package journal

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const (
	stateName  = "STATE"
	stateMagic = "TBJSTATE"
	stateSize  = 40
)

// state is the file STATE. It tells a missing segment from a removed one, and
// records that were never written from records that are missing at the end. A
// write of it that fails costs only this knowledge, so it is counted and not
// returned.
type state struct {
	files  files
	name   string
	faults func(error) error

	mu   sync.Mutex // guards what follows
	file file       // nil until the first write
	stateValues
}

type stateValues struct {
	oldest, newest uint64 // segments
	acked          uint64 // the last sequence number for which Append has returned
}

// readState reads STATE. It reports whether there was one that is whole.
func readState(fs files, dir string) (v stateValues, ok bool) {
	f, err := fs.Open(filepath.Join(dir, stateName), os.O_RDONLY)
	if err != nil {
		return v, false
	}
	defer f.Close()
	b := make([]byte, stateSize)
	if n, _ := f.ReadAt(b, 0); n < stateSize {
		return v, false
	}
	if !strings.HasPrefix(string(b), stateMagic) || binary.BigEndian.Uint32(b[32:]) != version ||
		crc32.Checksum(b[:36], castagnoli) != binary.BigEndian.Uint32(b[36:]) {
		return v, false
	}
	return stateValues{binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:])}, true
}

func (v stateValues) bytes() []byte {
	b := append(make([]byte, 0, stateSize), stateMagic...)
	b = binary.BigEndian.AppendUint64(b, v.oldest)
	b = binary.BigEndian.AppendUint64(b, v.newest)
	b = binary.BigEndian.AppendUint64(b, v.acked)
	b = binary.BigEndian.AppendUint32(b, version)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// set changes the values and writes them. With durable it forces them to the
// disk before it returns.
func (s *state) set(durable bool, change func(*stateValues)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stateValues)
	if s.file == nil {
		f, err := s.files.Open(s.name, os.O_RDWR|os.O_CREATE)
		if s.faults(err) != nil {
			return
		}
		s.file = f
	}
	_, err := s.file.WriteAt(s.stateValues.bytes(), 0)
	if s.faults(err) == nil && durable {
		_ = s.faults(s.file.Sync())
	}
}

func (s *state) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		_ = s.faults(s.file.Close())
		s.file = nil
	}
}
