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
	doneMagic  = "TBJSDONE"
	doneSize   = 20
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
	done           uint64 // every record up to this number is done
}

// readState reads STATE. It reports whether there was one that is whole.
func readState(fs files, dir string) (v stateValues, ok bool) {
	f, err := fs.Open(filepath.Join(dir, stateName), os.O_RDONLY)
	if err != nil {
		return v, false
	}
	defer f.Close()
	b := make([]byte, stateSize+doneSize)
	n, _ := f.ReadAt(b, 0)
	if n < stateSize {
		return v, false
	}
	if !strings.HasPrefix(string(b), stateMagic) || binary.BigEndian.Uint32(b[32:]) != version ||
		crc32.Checksum(b[:36], castagnoli) != binary.BigEndian.Uint32(b[36:]) {
		return v, false
	}
	v = stateValues{oldest: binary.BigEndian.Uint64(b[8:]), newest: binary.BigEndian.Uint64(b[16:]), acked: binary.BigEndian.Uint64(b[24:])}
	if n == len(b) {
		v.done = parseDone(b)
	}
	return v, true
}

// parseDone returns the number up to which every record is done, 0 when it is not known.
// The checksum is of the whole file, so what an earlier version has rewritten does not count.
func parseDone(b []byte) uint64 {
	if !strings.HasPrefix(string(b[stateSize:]), doneMagic) || crc32.Checksum(b[:len(b)-4], castagnoli) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return 0
	}
	return binary.BigEndian.Uint64(b[stateSize+8:])
}

func (v stateValues) bytes() []byte {
	b := append(make([]byte, 0, stateSize+doneSize), stateMagic...)
	b = binary.BigEndian.AppendUint64(b, v.oldest)
	b = binary.BigEndian.AppendUint64(b, v.newest)
	b = binary.BigEndian.AppendUint64(b, v.acked)
	b = binary.BigEndian.AppendUint32(b, version)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	b = append(b, doneMagic...)
	b = binary.BigEndian.AppendUint64(b, v.done)
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

func (s *state) values() stateValues {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stateValues
}

func (s *state) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		_ = s.faults(s.file.Close())
		s.file = nil
	}
}
