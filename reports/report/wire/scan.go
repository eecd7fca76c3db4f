package wire

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
	"unsafe"

	"github.com/timeblob/timeblob/reports/report"
)

// Facts hold what a collector needs to know about a report that it keeps as a
// blob.
type Facts struct {
	// Fault is the error of Validate or Upgrade; nil if the report is valid.
	Fault error
	// Keep is true if the blob may be stored, see [Codec.DecodeToKeep].
	Keep     bool
	Shortcut bool
	HasID    bool // the report's ID is not empty
	nodes    [report.KindCount]int
}

// Over reports whether [report.DropTopologiesOver] with this limit would empty a
// topology. It may return true for a report that holds a node twice, although
// nothing would be emptied.
func (f *Facts) Over(limit int) bool {
	for _, n := range f.nodes {
		if report.TooMany(n, f.nodes[report.Host], limit) {
			return true
		}
	}
	return false
}

// A scanner checks a report without decoding it. It knows the fields and the forms
// that probes and this package write. At anything else its methods return false,
// and the report must be decoded. So a scanner never finds a fault: a report that
// it scans to the end can be decoded, and is valid.
type scanner struct {
	in []byte
	at int

	kind     report.Kind // of the topology that is being scanned
	seen     uint32      // the kinds so far, a bit for each
	facts    Facts
	spent    int64 // what decoding would allocate
	pods     int   // parents of pods
	replicas int   // parents of replica sets
	hosts    [][]byte
}

// spend counts n elements that decoding would allocate.
func (s *scanner) spend(n int, size uintptr) { s.spent += int64(n) * int64(size) }

// times scans n things.
func (s *scanner) times(n int, thing func() bool) bool {
	for range n {
		if !thing() {
			return false
		}
	}
	return true
}

// fields scans a map, or nil in its place. Each field must consume its value.
func (s *scanner) fields(field func(name []byte) bool) bool {
	n, ok := s.open(mpFixMap, mpMap16)
	for range n {
		name := s.raw()
		if name == nil || !field(name) {
			return false
		}
	}
	return ok
}

// open scans the header of a map or a list, or nil, and returns how many elements
// it has.
func (s *scanner) open(fixed, wide byte) (n int, ok bool) {
	left := len(s.in) - s.at
	if left == 0 {
		return 0, false
	}
	switch c := s.in[s.at]; {
	case c&0xf0 == fixed:
		n = int(c & 0x0f)
		s.at++
	case c == mpNil:
		s.at++
	case c == wide && left >= 3:
		n = int(binary.BigEndian.Uint16(s.in[s.at+1:]))
		s.at += 3
	case c == wide+1 && left >= 5:
		n = int(binary.BigEndian.Uint32(s.in[s.at+1:]))
		s.at += 5
	default:
		return 0, false
	}
	return n, n <= len(s.in)-s.at
}

// raw scans a string in the raw format and returns it, nil if it is not one.
func (s *scanner) raw() []byte {
	begin, end := rawAt(s.in, s.at)
	if end == 0 {
		return nil
	}
	s.at = end
	return s.in[begin:end:end]
}

func (s *scanner) text() bool { return s.raw() != nil }

// name scans a text that becomes a key.
func (s *scanner) name() bool {
	b := s.raw()
	return b != nil && isName(b)
}

// isName reports whether a text may be a key, see [report.Validate].
func isName(b []byte) bool { return utf8.Valid(b) }

// texts scans a list of strings.
func (s *scanner) texts() bool {
	n, ok := s.open(mpFixList, mpList16)
	if !ok {
		return false
	}
	s.spend(n, unsafe.Sizeof(""))
	for range n {
		if !s.text() {
			return false
		}
	}
	return true
}

// number scans a number of any kind.
func (s *scanner) number() bool {
	left := len(s.in) - s.at
	if left == 0 {
		return false
	}
	c, size := s.in[s.at], 1
	switch {
	case c == mpFloat64, c == mpUint64, c == mpInt64:
		size = 9
	case c <= mpMaxFixInt:
	case c == mpFloat32, c == mpUint32, c == mpInt32:
		size = 5
	case c == mpUint16, c == mpInt16:
		size = 3
	case c == mpUint8, c == mpInt8:
		size = 2
	case c < mpMinFixInt:
		return false
	}
	s.at += size
	return size <= left
}

// natural scans a whole number that is not negative and fits an int64.
func (s *scanner) natural() bool {
	at := s.at
	if !s.number() {
		return false
	}
	c := s.in[at]
	return c <= mpMaxFixInt || mpUint8 <= c && c <= mpUint32 || c == mpUint64 && s.in[at+1] < 0x80
}

// marked reports whether a key may be one of a copy of a node.
func marked(key []byte) bool { return bytes.Contains(key, []byte(copyMark)) }
