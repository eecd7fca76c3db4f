package inflate

import (
	"cmp"
	"encoding/binary"
)

// compressed reads the symbols of a block to its end.
func (d *Decoder) compressed(literals *literalTable, distances *distanceTable) error {
	if err := d.fast(literals, distances); err != nil {
		return err
	}
	return d.careful(literals, distances)
}

// careful reads symbols to the end of the block, near the end of the input too. It
// makes room for the output. All that the loop changes is in local variables, which
// the compiler keeps in registers.
func (d *Decoder) careful(literals *literalTable, distances *distanceTable) (err error) {
	in, out := d.in, d.out
	bits, left, at, n := d.bits, d.left, d.at, d.n
	for n <= d.limit && at-int(left>>3) <= len(in) {
		if n+room > len(out) {
			d.n = n
			d.grow(room)
			out = d.out
		}
		bits |= load(in, at) << left
		at += int(63-left) >> 3
		left |= 56 // enough for two literals, or for a match

		e := literals[bits&(1<<literalBits-1)]
		if e&literal != 0 {
			out[n], n = byte(e>>16), n+1
			bits, left = drop(bits, left, e)
			if e = literals[bits&(1<<literalBits-1)]; e&literal != 0 {
				out[n], n = byte(e>>16), n+1
				bits, left = drop(bits, left, e)
				continue
			}
			if left < mostBits {
				continue
			}
		}
		if e&subtable != 0 {
			bits, left = bits>>literalBits, left-literalBits
			if e = literals[within(e, bits)]; e&literal != 0 {
				out[n], n = byte(e>>16), n+1
				bits, left = drop(bits, left, e)
				continue
			}
		}
		if e&exceptional != 0 {
			bits, left = drop(bits, left, e)
			if e&endOfBlock == 0 {
				err = ErrCorrupt
			}
			break
		}
		length := value(e, bits)
		bits, left = drop(bits, left, e)
		if e = distances[bits&(1<<distanceBits-1)]; e&subtable != 0 {
			bits, left = bits>>distanceBits, left-distanceBits
			e = distances[within(e, bits)]
		}
		distance := value(e, bits)
		bits, left = drop(bits, left, e)
		if e&exceptional != 0 || distance > n {
			err = ErrCorrupt
			break
		}
		repeat(out[n-distance:n+length], distance)
		n += length
	}
	return cmp.Or(err, d.ended(bits, left, at, n))
}

// ended notes where a block ended, or could not go on.
func (d *Decoder) ended(bits uint64, left uint, at, n int) error {
	d.bits, d.left, d.at, d.n = bits, left, at, min(n, d.limit)
	switch {
	case d.overrun():
		return ErrTruncated
	case n > d.limit:
		return ErrTooLarge
	}
	return nil
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
