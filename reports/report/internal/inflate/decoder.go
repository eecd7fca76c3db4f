package inflate

import (
	"encoding/binary"
	"errors"
	"slices"
)

// The reasons why a stream is refused.
var (
	ErrTruncated = errors.New("deflate stream ends too early")
	ErrCorrupt   = errors.New("deflate stream is corrupt")
	ErrTooLarge  = errors.New("deflate stream holds more than the limit")
)

// room is how many bytes one turn of the loop may write: two literals, and a
// match of 258 bytes in whole pieces.
const room = 2 + 258 + overlap

// A Decoder decompresses one stream after the other. It is for one goroutine.
// The zero value is ready to use.
type Decoder struct {
	literals  literalTable
	distances distanceTable

	in   []byte
	at   int    // how much of in is in bits, or was; beyond its end there are zeros
	bits uint64 // what comes next, from the lowest bit on
	left uint   // how many of them count

	out   []byte // with what may be written; at most room bytes beyond limit
	n     int    // how much of it was written
	limit int
}

// refill makes 56 bits or more count.
func (d *Decoder) refill() {
	d.bits |= load(d.in, d.at) << d.left
	d.at += int(63-d.left) >> 3
	d.left |= 56
}

// take returns the next n bits.
func (d *Decoder) take(n uint) int {
	v := d.bits & (1<<n - 1)
	d.bits >>= n
	d.left -= n
	return int(v)
}

// overrun reports whether bits were used that the input does not have.
func (d *Decoder) overrun() bool { return d.at-int(d.left>>3) > len(d.in) }

// grow makes room for n bytes of output, at most room of them beyond the limit.
func (d *Decoder) grow(n int) {
	if d.n+n <= len(d.out) {
		return
	}
	more := max(n, min(d.n, d.limit+room-d.n))
	d.out = slices.Grow(d.out[:d.n], more)
	d.out = d.out[:min(cap(d.out), d.limit+room)]
}

// drop drops the bits that an entry stands for.
func drop(bits uint64, left uint, e uint32) (uint64, uint) {
	return bits >> (e & 63), left - uint(e&63)
}

// value returns the length or the distance that an entry and its extra bits make.
func value(e uint32, bits uint64) int { return int(e>>16) + int(bits&(1<<(e&63)-1)>>(e>>8&15)) }

// within returns the index in a subtable.
func within(e uint32, bits uint64) uint32 { return e>>16 + uint32(bits)&(1<<(e>>8&15)-1) }

// mostBits is how many bits a length and a distance take at most: two codes of
// 15 bits, and 5 and 13 more bits.
const mostBits = 15 + 5 + 15 + 13

// load returns the next 8 bytes of the input; beyond its end there are zeros.
func load(in []byte, at int) uint64 {
	if at+8 <= len(in) {
		return binary.LittleEndian.Uint64(in[at:])
	}
	return tail(in, at)
}

// tail returns what the input has from a place on, fewer than 8 bytes.
func tail(in []byte, at int) uint64 {
	var last [8]byte
	copy(last[:], in[min(at, len(in)):])
	return binary.LittleEndian.Uint64(last[:])
}

// repeat fills b behind its first distance bytes with what stands that far
// before.
func repeat(b []byte, distance int) {
	if len(b) <= 2*distance {
		copy(b[distance:], b)
		return
	}
	for filled := distance; filled < len(b); filled *= 2 {
		copy(b[filled:], b[:filled])
	}
}
