package inflate

import (
	"cmp"
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
