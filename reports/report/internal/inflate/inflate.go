// Package inflate decompresses DEFLATE (RFC 1951) from memory to memory.
//
// Readers such as klauspost/compress/flate read the input byte by byte and copy the
// output through a window. If the whole input and output are in memory, neither is
// needed: this package reads 8 bytes at a time, and copies matches within the
// output. On a captured report it takes about half of the time.
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

// Append appends to dst what the stream at the start of src holds, and returns
// it with what follows the stream in src. The result is at most limit bytes
// long. Memory is allocated as the output grows, twice as much each time. After
// an error what was appended means nothing.
func (d *Decoder) Append(dst, src []byte, limit int) (out, rest []byte, err error) {
	d.in, d.at, d.bits, d.left = src, 0, 0, 0
	d.out, d.n, d.limit = dst[:min(cap(dst), limit+room)], len(dst), limit
	for last := false; !last && err == nil; {
		last, err = d.block()
	}
	out = d.out[:d.n]
	pos := d.at - int(d.left>>3)
	d.in, d.out = nil, nil
	switch {
	case pos > len(src):
		return out, nil, ErrTruncated
	case err != nil:
		return out, nil, err
	}
	return out, src[pos:], nil
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

// block reads a block and reports whether it is the last one.
func (d *Decoder) block() (last bool, err error) {
	d.refill()
	last = d.take(1) == 1
	switch d.take(2) {
	case 0:
		return last, d.stored()
	case 1:
		return last, d.compressed(&fixedLiterals, &fixedDistances)
	case 2:
		if err := d.readTables(); err != nil {
			return last, err
		}
		return last, d.compressed(&d.literals, &d.distances)
	}
	return last, ErrCorrupt
}

// stored copies a block that is not compressed.
func (d *Decoder) stored() error {
	pos := d.at - int(d.left>>3)
	d.bits, d.left = 0, 0
	if pos+4 > len(d.in) {
		d.at = pos
		return ErrTruncated
	}
	n, complement := binary.LittleEndian.Uint16(d.in[pos:]), binary.LittleEndian.Uint16(d.in[pos+2:])
	d.at = pos + 4
	switch {
	case n != ^complement:
		return ErrCorrupt
	case d.at+int(n) > len(d.in):
		return ErrTruncated
	case d.n+int(n) > d.limit:
		return ErrTooLarge
	}
	d.grow(int(n))
	d.n += copy(d.out[d.n:], d.in[d.at:d.at+int(n)])
	d.at += int(n)
	return nil
}

// grow makes room for n bytes of output, at most room of them beyond the limit.
func (d *Decoder) grow(n int) {
	if d.n+n <= len(d.out) {
		return
	}
	more := max(n, min(d.n, d.limit+room-d.n))
	d.out = slices.Grow(d.out[:d.n], more)
	d.out = d.out[:min(cap(d.out), d.limit+room)]
}
