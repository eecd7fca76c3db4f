package remote

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
)

// The format of bodies, which the package's documentation describes.
const (
	version     = 1
	magic       = "TBR\x01"
	contentType = "application/x-timeblob"

	kindHeld     = 'H'
	kindSealed   = 'S'
	kindUnread   = 'U'
	kindOpen     = 'O'
	kindAnswer   = 'A'
	kindValue    = 'V'
	kindMissing  = 'M'
	kindTenant   = 'T'
	kindPresence = 'P'
	kindFailed   = 'F'
	kindEnd      = 'E'
)

// zeroTime stands for the zero time.
const zeroTime = math.MinInt64

// appendFrame appends a frame with what fill appends.
func appendFrame(b []byte, kind byte, fill func(b []byte) []byte) ([]byte, error) {
	start := len(b)
	b = append(b, make([]byte, headLength)...)
	if fill != nil {
		b = fill(b)
	}
	length := len(b) - start - headLength
	if uint64(length) > math.MaxUint32 {
		return nil, fmt.Errorf("a value of %d bytes is too large to be sent", length)
	}
	head := b[start:]
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(length))
	binary.BigEndian.PutUint32(head[5:], checksum(head))
	return b, nil
}

// headLength is how many bytes of a frame stand before its payload.
const headLength = 9

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns the checksum of a frame.
func checksum(frame []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame[:5], castagnoli), castagnoli, frame[headLength:])
}

func appendTime(b []byte, t time.Time) []byte {
	n := int64(zeroTime)
	if !t.IsZero() {
		n = t.UnixNano()
	}
	return appendInt(b, n)
}

func appendInt(b []byte, n int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) }

// appendText appends at most the first 65 535 bytes of a text.
func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), math.MaxUint16)]
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// How sure a sealed value's entry is its own.
const (
	flagOwn     = 1
	flagUntried = 2
)

func appendEntry(b []byte, e index.Entry, own, untried bool) []byte {
	flag := byte(0)
	switch {
	case own:
		flag = flagOwn
	case untried:
		flag = flagUntried
	}
	b = appendInt(append(b, flag), e.Time)
	b = append(appendInt(b, e.Size), e.Sum[:]...)
	return appendText(b, e.Key)
}

func appendUnread(b []byte, v index.Entry, own, untried bool, err error) []byte {
	b = appendText(appendEntry(b, v, own, untried), string(reasonOf(err)))
	return fmt.Append(b, err)
}

func appendBool(b []byte, is bool) []byte {
	if is {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendMissing(b []byte, m bucket.Missing) []byte {
	b = appendTime(b, m.Time)
	for _, s := range []string{m.Tenant, m.Key, m.Source, string(reasonOf(m.Err))} {
		b = appendText(b, s)
	}
	return fmt.Append(b, m.Err)
}

func appendFailure(b []byte, err error) []byte {
	b = appendText(appendText(b, string(reasonOf(err))), detailOf(err))
	return fmt.Append(b, err)
}

// errShort says that a frame ends before its last field.
var errShort = errors.New("a frame is shorter than its fields")

// fields reads the fields of a payload. After an error every field is zero.
type fields struct {
	rest []byte
	err  error
}

func (f *fields) take(n int) []byte {
	if len(f.rest) < n {
		f.rest, f.err = nil, errShort
		return make([]byte, n)
	}
	taken := f.rest[:n]
	f.rest = f.rest[n:]
	return taken
}

func (f *fields) int() int64 { return int64(binary.BigEndian.Uint64(f.take(8))) }

func (f *fields) bool() bool { return f.take(1)[0] == 1 }

func (f *fields) text() string { return string(f.take(int(binary.BigEndian.Uint16(f.take(2))))) }

func (f *fields) time() time.Time {
	n := f.int()
	if n == zeroTime || f.err != nil {
		return time.Time{}
	}
	return time.Unix(0, n)
}

func (f *fields) entry() (e index.Entry, own, untried bool) {
	flag := f.take(1)[0]
	e = index.Entry{Time: f.int(), Size: f.int(), Sum: blob.Sum(f.take(len(blob.Sum{})))}
	e.Key = f.text()
	return e, flag == flagOwn, flag == flagUntried
}

// unread reads what stands after the entry of a value that cannot be read.
func (f *fields) unread(server string) error {
	reason := Reason(f.text())
	return newError(server, reason, "", string(f.rest))
}

// missing reads a payload of the kind missing. Its error came from a server.
func (f *fields) missing(server string) bucket.Missing {
	m := bucket.Missing{Time: f.time(), Tenant: f.text(), Key: f.text(), Source: f.text()}
	reason := Reason(f.text())
	m.Err = newError(server, reason, "", string(f.rest))
	return m
}

func (f *fields) failure(server string) error {
	reason, detail := Reason(f.text()), f.text()
	return newError(server, reason, detail, string(f.rest))
}

// errLimit says that an answer is longer than it may be.
var errLimit = errors.New("too large")

// frames reads a body.
type frames struct {
	r     io.Reader
	limit int64 // bytes that may still be read
}

// begin reads what stands before the first frame.
func (f *frames) begin() error {
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(f.r, head); err != nil {
		return cutShort(err)
	}
	if string(head[:3]) != magic[:3] {
		return fmt.Errorf("it begins with %q and not with %q", head, magic)
	}
	if head[3] != version {
		return fmt.Errorf("it has version %d of the format, and this client reads version %d", head[3], version)
	}
	return nil
}

// next returns the next frame. Memory grows with the bytes that arrive, whatever
// length the frame claims.
func (f *frames) next() (kind byte, payload *fields, err error) {
	head := make([]byte, headLength)
	if _, err := io.ReadFull(f.r, head); err != nil {
		return 0, nil, cutShort(err)
	}
	length := int64(binary.BigEndian.Uint32(head[1:]))
	if f.limit -= length + headLength; f.limit < 0 {
		return 0, nil, errLimit
	}
	frame := bytes.NewBuffer(head)
	if _, err := io.CopyN(frame, f.r, length); err != nil {
		return 0, nil, cutShort(err)
	}
	b := frame.Bytes()
	if binary.BigEndian.Uint32(b[5:]) != checksum(b) {
		return 0, nil, errors.New("a frame has another checksum than its bytes")
	}
	return b[0], &fields{rest: b[headLength:]}, nil
}

// cutShort returns io.ErrUnexpectedEOF in place of io.EOF.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
