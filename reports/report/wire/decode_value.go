package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/timeblob/timeblob/reports/report"
)

// take consumes a value that msgp read, or fails.
func take[V any](d *decoder, value V, rest []byte, err error) V {
	if err == nil {
		d.at = len(d.in) - len(rest)
		return value
	}
	var none V
	if d.at == len(d.in) || errors.Is(err, msgp.ErrShortBytes) {
		d.fail(ErrTruncated)
		return none
	}
	d.malformed("%v", err)
	return none
}

// null consumes a nil, if one comes next.
func (d *decoder) null() bool {
	if d.at == len(d.in) || d.in[d.at] != mpNil {
		return false
	}
	d.at++
	return true
}

// rest returns the unread input.
func (d *decoder) rest() []byte { return d.in[d.at:] }

// raw reads a string in any of its formats. The bytes are part of the input.
func (d *decoder) raw() []byte {
	if start := d.at + 1; start <= len(d.in) {
		n := int(d.in[d.at] ^ mpFixRaw)
		if n < 32 && n <= len(d.in)-start {
			d.at = start + n
			return d.in[start:d.at]
		}
	}
	return d.longRaw()
}

// longRaw reads a string whose header is more than one byte, or nil.
func (d *decoder) longRaw() []byte {
	if d.null() {
		return nil
	}
	if left := d.rest(); len(left) > 0 && left[0] != mpRaw16 && left[0] != mpRaw32 {
		d.foreign = true
	}
	b, rest, err := msgp.ReadMapKeyZC(d.rest())
	return take(d, b, rest, err)
}

func (d *decoder) text() string { return d.words.get(d.raw()) }

// textLike reads a string that is likely to equal guess, which is then shared.
func (d *decoder) textLike(guess string) string {
	b := d.raw()
	if string(b) == guess {
		return guess
	}
	return d.words.get(b)
}

func (d *decoder) bool() bool {
	if d.null() {
		return false
	}
	b, rest, err := msgp.ReadBoolBytes(d.rest())
	return take(d, b, rest, err)
}

// float reads a number.
func (d *decoder) float() float64 {
	switch msgp.NextType(d.rest()) {
	case msgp.UintType:
		return float64(d.unsigned())
	case msgp.IntType:
		return float64(d.integer())
	case msgp.NilType:
		d.null()
		return 0
	}
	f, rest, err := msgp.ReadFloat64Bytes(d.rest())
	return take(d, f, rest, err)
}

// integer reads a number that fits an int64; it may be written as a float.
func (d *decoder) integer() int64 {
	switch msgp.NextType(d.rest()) {
	case msgp.NilType:
		d.null()
		return 0
	case msgp.Float64Type, msgp.Float32Type:
		return d.whole(math.MinInt64)
	}
	n, rest, err := msgp.ReadInt64Bytes(d.rest())
	return take(d, n, rest, err)
}

// unsigned reads a number that fits an uint64; beyond an int64 it must not be
// written as a float.
func (d *decoder) unsigned() uint64 {
	switch msgp.NextType(d.rest()) {
	case msgp.NilType:
		d.null()
		return 0
	case msgp.Float64Type, msgp.Float32Type:
		return uint64(d.whole(0))
	}
	n, rest, err := msgp.ReadUint64Bytes(d.rest())
	return take(d, n, rest, err)
}

// whole reads a float that is an integer and at least the lowest.
func (d *decoder) whole(lowest float64) int64 {
	d.foreign = true
	f := d.float()
	if f != math.Trunc(f) || f < lowest || f >= 1<<63 {
		d.malformed("%v is not an integer in range", f)
		return 0
	}
	return int64(f)
}

func (d *decoder) int() int { return int(d.integer()) }

func (d *decoder) duration() time.Duration { return time.Duration(d.integer()) }

// instant reads an instant: Go's binary form of a time, whose zone is dropped, or
// RFC 3339, as it stands in JSON. Nil and the empty string are the zero instant.
func (d *decoder) instant() report.Instant {
	b := d.raw()
	if len(b) == 0 {
		return report.Instant{}
	}
	if len(b) != 15 {
		d.foreign = true
	}
	i, ok := parseInstant(b)
	if !ok {
		d.malformed("%.40q is not a time of the years 0 to 9999", b)
	}
	return i
}

// parseInstant reads an instant from b, which is not empty.
func parseInstant(b []byte) (i report.Instant, ok bool) {
	if len(b) == 15 && b[0] == 1 || len(b) == 16 && b[0] == 2 {
		i = binaryInstant(b)
		return i, isWritable(i)
	}
	t, err := time.Parse(time.RFC3339Nano, string(b[:min(len(b), 64)]))
	if err != nil {
		return i, false
	}
	i = report.InstantOf(t)
	return i, isWritable(i)
}

// binaryInstant reads Go's binary form of a time. The caller has checked the
// version, which is the first byte, and checks the result with isWritable.
func binaryInstant(b []byte) report.Instant {
	return report.Instant{Seconds: int64(binary.BigEndian.Uint64(b[1:])), Nanos: int32(binary.BigEndian.Uint32(b[9:]))}
}

// usualTime reads the time in a map that has the form in which every probe
// writes it: before, a time, and after it the name of the field that follows.
// Any other form, and a time out of range, it leaves as it is. A report holds
// thousands of these maps, and most of its bytes.
func (d *decoder) usualTime(before, after string) (i report.Instant, ok bool) {
	from := d.at + len(before)
	end := from + 15 + len(after)
	if d.depth >= maxDepth || end > len(d.in) ||
		string(d.in[d.at:from]) != before || string(d.in[from+15:end]) != after {
		return i, false
	}
	i, ok = parseInstant(d.in[from : from+15])
	if ok {
		d.at = end
	}
	return i, ok
}
