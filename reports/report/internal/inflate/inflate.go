// Package inflate decompresses DEFLATE (RFC 1951) from memory to memory.
//
// Readers such as klauspost/compress/flate read the input byte by byte and copy the
// output through a window. If the whole input and output are in memory, neither is
// needed: this package reads 8 bytes at a time, and copies matches within the
// output. On a captured report it takes about half of the time.
package inflate

import (
	"encoding/binary"
)

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
