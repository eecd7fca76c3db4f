// Package record is the format of a collector's records in its journal, and the
// reading of them after a restart.
//
// A record of kind Arrived holds a value that Add has taken, as its blob. A
// record of kind Sealed fixes the entry that some of them become. The formats of
// their meta bytes are frozen:
//
//	arrived: version 1 | flags | tenant | instant of arrival | [At] | [id, 16 bytes]
//	sealed:  version 1 | tenant | instant | key | sum, 16 bytes | number of members | members
//
// Flag 1 says that At is there, flag 2 that the id is. Strings are led by their
// length as a uvarint. Instants are Unix nanoseconds, 8 bytes, little-endian.
// Members are the numbers of arrived records, each as the varint of its
// difference to the one before.
package record

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Kinds of records.
const (
	KindArrived byte = 1
	KindSealed  byte = 2
)

const (
	version = 1
	flagAt  = 1
	flagID  = 2
)

// Arrived describes a value that was added.
type Arrived struct {
	Tenant string
	Time   int64 // when it arrived, Unix nanoseconds
	HasAt  bool
	At     int64 // the instant that it was added with
	HasID  bool
	ID     [16]byte
}

// Encode returns the meta bytes of a.
func (a *Arrived) Encode() []byte {
	var flags byte
	if a.HasAt {
		flags |= flagAt
	}
	if a.HasID {
		flags |= flagID
	}
	b := appendString([]byte{version, flags}, a.Tenant)
	b = appendInstant(b, a.Time)
	if a.HasAt {
		b = appendInstant(b, a.At)
	}
	if a.HasID {
		b = append(b, a.ID[:]...)
	}
	return b
}

// DecodeArrived undoes Arrived.Encode.
func DecodeArrived(meta []byte) (a Arrived, err error) {
	r := reader{rest: meta}
	r.version()
	flags := r.byte()
	a.Tenant, a.Time = r.string(), r.instant()
	if a.HasAt = flags&flagAt != 0; a.HasAt {
		a.At = r.instant()
	}
	if a.HasID = flags&flagID != 0; a.HasID {
		copy(a.ID[:], r.take(len(a.ID)))
	}
	return a, r.end()
}

// Sealed is the entry that arrived records become.
type Sealed struct {
	Tenant  string
	Time    int64 // the entry's instant, Unix nanoseconds
	Key     string
	Sum     [16]byte // of the blob
	Members []uint64 // numbers of arrived records, in the order of their merge
}

// Encode returns the meta bytes of s.
func (s *Sealed) Encode() []byte {
	b := appendString([]byte{version}, s.Tenant)
	b = appendInstant(b, s.Time)
	b = appendString(b, s.Key)
	b = append(b, s.Sum[:]...)
	b = binary.AppendUvarint(b, uint64(len(s.Members)))
	var before uint64
	for _, id := range s.Members {
		b = binary.AppendVarint(b, int64(id-before))
		before = id
	}
	return b
}

// DecodeSealed undoes Sealed.Encode.
func DecodeSealed(meta []byte) (s Sealed, err error) {
	r := reader{rest: meta}
	r.version()
	s.Tenant, s.Time, s.Key = r.string(), r.instant(), r.string()
	copy(s.Sum[:], r.take(len(s.Sum)))
	n := r.uvarint()
	if n > uint64(len(r.rest)) { // a member takes a byte at least
		return s, errCut
	}
	s.Members = make([]uint64, n)
	var before uint64
	for i := range s.Members {
		before += uint64(r.varint())
		s.Members[i] = before
	}
	return s, r.end()
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendInstant(b []byte, t int64) []byte { return binary.LittleEndian.AppendUint64(b, uint64(t)) }

var errCut = errors.New("the record is cut")

// reader reads meta bytes. After its first error it reads zeros.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.rest) {
		r.fail(errCut)
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) version() {
	if v := r.byte(); r.err == nil && v != version {
		r.fail(fmt.Errorf("version %d is not known: a newer program wrote it", v))
	}
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) instant() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.LittleEndian.Uint64(b))
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail(errCut)
		return 0
	}
	r.take(n)
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail(errCut)
		return 0
	}
	r.take(n)
	return v
}

func (r *reader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail(errCut)
		return ""
	}
	return string(r.take(int(n)))
}

func (r *reader) end() error {
	if r.err == nil && len(r.rest) > 0 {
		return fmt.Errorf("%d bytes too many", len(r.rest))
	}
	return r.err
}
