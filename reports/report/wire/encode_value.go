package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/timeblob/timeblob/reports/report"
)

// An encoder writes a report as msgpack or as JSON.
type encoder struct {
	dst   []byte
	json  bool
	bare  bool // without padding
	depth int  // of the map or array that is being written
	err   error

	start    int // where the report begins in dst
	elements int // that lists and maps have so far
	nodes    int // so far
}

func (e *encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// msgpack's headers: of the string formats that old readers know, of nil, of
// collections, and of numbers.
const (
	mpFixRaw  = 0xa0
	mpRaw16   = 0xda
	mpRaw32   = 0xdb
	mpNil     = 0xc0
	mpFixMap  = 0x80
	mpFixList = 0x90
	mpList16  = 0xdc // one more is the 32-bit form
	mpMap16   = 0xde // one more is the 32-bit form
	mpFalse   = 0xc2 // one more is true

	mpMaxFixInt = 0x7f
	mpMinFixInt = 0xe0
	mpFloat32   = 0xca
	mpFloat64   = 0xcb
	mpUint8     = 0xcc
	mpUint16    = 0xcd
	mpUint32    = 0xce
	mpUint64    = 0xcf
	mpInt8      = 0xd0
	mpInt16     = 0xd1
	mpInt32     = 0xd2
	mpInt64     = 0xd3
)

// appendRaw appends a string in the old raw format.
func appendRaw(dst []byte, s string) []byte {
	return append(appendRawHeader(dst, len(s)), s...)
}

// appendRawHeader appends what stands before a string of n bytes.
func appendRawHeader(dst []byte, n int) []byte {
	switch {
	case n < 32:
		return append(dst, mpFixRaw|byte(n))
	case n <= math.MaxUint16:
		return append(dst, mpRaw16, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, mpRaw32), uint32(n))
}

// appendBinaryTime appends Go's binary form of a time in UTC, as a string.
func appendBinaryTime(dst []byte, i report.Instant) []byte {
	dst = append(dst, mpFixRaw|15, 1)
	dst = binary.BigEndian.AppendUint64(dst, uint64(i.Seconds))
	dst = binary.BigEndian.AppendUint32(dst, uint32(i.Nanos))
	return append(dst, 0xff, 0xff)
}

// appendQuoted appends a string of JSON. Bytes that are not UTF-8 become
// U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string can always be marshalled
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func (e *encoder) text(s string) {
	if e.json {
		e.dst = appendQuoted(e.dst, s)
		return
	}
	e.dst = appendRaw(e.dst, s)
}

// instant writes an instant. JSON has no form for one outside the years 0 to 9999.
func (e *encoder) instant(i report.Instant) {
	switch {
	case !e.inRange(i):
	case e.json:
		e.dst = append(i.Time().AppendFormat(append(e.dst, '"'), time.RFC3339Nano), '"')
	default:
		e.dst = appendBinaryTime(e.dst, i)
	}
}

// inRange reports whether every format can write an instant, and fails otherwise.
func (e *encoder) inRange(i report.Instant) bool {
	if !isWritable(i) {
		e.fail(fmt.Errorf("the year %d is outside of 0 to 9999, or %d nanoseconds are more than a second", i.Time().Year(), i.Nanos))
		return false
	}
	return true
}

// float writes a number. JSON has none for NaN and infinities: they become
// null.
func (e *encoder) float(f float64) {
	switch {
	case !e.json:
		e.dst = msgp.AppendFloat64(e.dst, f)
	case math.IsNaN(f) || math.IsInf(f, 0):
		e.null()
	default:
		e.dst = strconv.AppendFloat(e.dst, f, 'g', -1, 64)
	}
}

// integer writes a number; like Scope, as an unsigned one where it can be.
func (e *encoder) integer(n int64) {
	switch {
	case e.json:
		e.dst = strconv.AppendInt(e.dst, n, 10)
	case n < 0:
		e.dst = msgp.AppendInt64(e.dst, n)
	default:
		e.dst = msgp.AppendUint64(e.dst, uint64(n))
	}
}

func (e *encoder) unsigned(n uint64) {
	if e.json {
		e.dst = strconv.AppendUint(e.dst, n, 10)
		return
	}
	e.dst = msgp.AppendUint64(e.dst, n)
}

func (e *encoder) bool(b bool) {
	if e.json {
		e.dst = strconv.AppendBool(e.dst, b)
		return
	}
	e.dst = msgp.AppendBool(e.dst, b)
}

func (e *encoder) null() {
	if e.json {
		e.dst = append(e.dst, "null"...)
		return
	}
	e.dst = append(e.dst, mpNil)
}

// What RFC 3339 can write, in seconds since the year 1.
const (
	firstSecond = -31622400    // 0000-01-01
	lastSecond  = 315537897599 // 9999-12-31 23:59:59
)

// isWritable reports whether every format can write an instant.
func isWritable(i report.Instant) bool {
	return firstSecond <= i.Seconds && i.Seconds <= lastSecond && uint32(i.Nanos) < 1e9
}
