package report

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// take consumes a value that msgp read, or fails.
func take[V any](d *decoder, value V, rest []byte, err error) V {
	if err == nil {
		d.in = rest
		return value
	}
	var none V
	if len(d.in) == 0 || errors.Is(err, msgp.ErrShortBytes) {
		d.fail(ErrTruncated)
		return none
	}
	d.malformed("%v", err)
	return none
}

// null consumes a nil, if one comes next.
func (d *decoder) null() bool {
	if !msgp.IsNil(d.in) {
		return false
	}
	d.in = d.in[1:]
	return true
}

// raw reads a string in any of its formats. The bytes are part of the input.
func (d *decoder) raw() []byte {
	if d.null() {
		return nil
	}
	b, rest, err := msgp.ReadMapKeyZC(d.in)
	return take(d, b, rest, err)
}

func (d *decoder) text() string { return d.words.get(d.raw()) }

func (d *decoder) bool() bool {
	if d.null() {
		return false
	}
	b, rest, err := msgp.ReadBoolBytes(d.in)
	return take(d, b, rest, err)
}

// float reads a number.
func (d *decoder) float() float64 {
	switch msgp.NextType(d.in) {
	case msgp.UintType:
		return float64(d.unsigned())
	case msgp.IntType:
		return float64(d.integer())
	case msgp.NilType:
		d.null()
		return 0
	}
	f, rest, err := msgp.ReadFloat64Bytes(d.in)
	return take(d, f, rest, err)
}

// integer reads a number that fits an int64; it may be written as a float.
func (d *decoder) integer() int64 {
	switch msgp.NextType(d.in) {
	case msgp.NilType:
		d.null()
		return 0
	case msgp.Float64Type, msgp.Float32Type:
		return d.whole(math.MinInt64)
	}
	n, rest, err := msgp.ReadInt64Bytes(d.in)
	return take(d, n, rest, err)
}

// unsigned reads a number that fits an uint64; beyond an int64 it must not be
// written as a float.
func (d *decoder) unsigned() uint64 {
	switch msgp.NextType(d.in) {
	case msgp.NilType:
		d.null()
		return 0
	case msgp.Float64Type, msgp.Float32Type:
		return uint64(d.whole(0))
	}
	n, rest, err := msgp.ReadUint64Bytes(d.in)
	return take(d, n, rest, err)
}

// whole reads a float that is an integer and at least the lowest.
func (d *decoder) whole(lowest float64) int64 {
	f := d.float()
	if f != math.Trunc(f) || f < lowest || f >= 1<<63 {
		d.malformed("%v is not an integer in range", f)
		return 0
	}
	return int64(f)
}

func (d *decoder) int() int                { return int(d.integer()) }
func (d *decoder) duration() time.Duration { return time.Duration(d.integer()) }

// The seconds from the year 1, which Go's binary form of a time counts from, to
// 1970, and the bounds of what RFC 3339 can write, in seconds from 1970.
const (
	yearOne   = -62135596800
	firstTime = -62167219200 // 0000-01-01
	lastTime  = 253402300799 // 9999-12-31 23:59:59
)

// time reads an instant: Go's binary form, whose zone is dropped, or RFC 3339,
// as it stands in JSON. Nil and the empty string are the zero time.
func (d *decoder) time() time.Time {
	b := d.raw()
	switch {
	case len(b) == 0:
		return time.Time{}
	case len(b) == 15 && b[0] == 1, len(b) == 16 && b[0] == 2:
		return d.binaryTime(b)
	}
	t, err := time.Parse(time.RFC3339Nano, string(b[:min(len(b), 64)]))
	if err != nil {
		d.malformed("a time of %d bytes: %v", len(b), err)
		return time.Time{}
	}
	return d.inRange(t.Unix(), int64(t.Nanosecond()))
}

func (d *decoder) binaryTime(b []byte) time.Time {
	seconds := int64(binary.BigEndian.Uint64(b[1:]))
	nanos := int64(int32(binary.BigEndian.Uint32(b[9:])))
	if seconds < 0 && seconds < firstTime-yearOne || seconds > lastTime-yearOne {
		d.malformed("a time outside the years 0 to 9999")
		return time.Time{}
	}
	return d.inRange(seconds+yearOne, nanos)
}

// inRange returns an instant that can be written in every format.
func (d *decoder) inRange(seconds, nanos int64) time.Time {
	if seconds < firstTime || seconds > lastTime || nanos < 0 || nanos >= 1e9 {
		d.malformed("a time outside the years 0 to 9999")
		return time.Time{}
	}
	return time.Unix(seconds, nanos).UTC()
}

// skip passes over a value of any shape.
func (d *decoder) skip() {
	switch msgp.NextType(d.in) {
	case msgp.MapType:
		d.skipAll(2 * d.openMap())
	case msgp.ArrayType:
		d.skipAll(d.openList())
	default:
		rest, err := msgp.Skip(d.in)
		take(d, struct{}{}, rest, err)
	}
}

func (d *decoder) skipAll(values int) {
	for range values {
		if d.skip(); d.err != nil {
			return
		}
	}
	d.depth--
}
