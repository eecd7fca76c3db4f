package inflate

// fast reads symbols of a block while the input holds turnBytes more and the
// output has room, so that no access needs a check of its bounds. It leaves the
// rest to careful: the last symbols, the end of the block, and codes that no
// symbol has.
//
// It looks the next symbol up before it copies a match, so that the processor does
// both at once.
func (d *Decoder) fast(literals *literalTable, distances *distanceTable) error {
	inEnd, outEnd := len(d.in)-turnBytes, min(d.limit, len(d.out)-room)
	if d.at > inEnd || d.n > outEnd {
		return nil
	}
	in, out := &d.in[0], &d.out[0]
	at, bits, left := top(in, d.at, d.bits, d.left)
	n, e := d.n, literals[bits&(1<<literalBits-1)]
	var length, distance, i int
	for at <= inEnd && n <= outEnd {
		if e&literal != 0 {
			n = put(out, n, e)
			bits, left = drop(bits, left, e)
			if e = literals[bits&(1<<literalBits-1)]; e&literal != 0 {
				goto lastLiteral
			}
			at, bits, left = top(in, at, bits, left)
		}
		if e&exceptional != 0 {
			if e&subtable == 0 {
				break
			}
			if e = literals[within(e, bits>>literalBits)]; e&exceptional != 0 {
				break
			}
			if bits, left = bits>>literalBits, left-literalBits; e&literal != 0 {
				goto lastLiteral
			}
		}
		length = value(e, bits)
		bits, left = drop(bits, left, e)
		if e = distances[bits&(1<<distanceBits-1)]; e&subtable != 0 {
			bits, left = bits>>distanceBits, left-distanceBits
			e = distances[within(e, bits)]
		}
		distance = value(e, bits)
		bits, left = drop(bits, left, e)
		if e&exceptional != 0 || distance > n {
			return ErrCorrupt
		}
		at, bits, left = top(in, at, bits, left)
		e = literals[bits&(1<<literalBits-1)]
		if distance < overlap {
			repeat(d.out[n-distance:n+length], distance)
			n += length
			continue
		}
		for i, n = n, n+length; i < n; i += overlap {
			copyPiece(out, i, distance)
		}
		continue
	lastLiteral:
		n = put(out, n, e)
		bits, left = drop(bits, left, e)
		e = literals[bits&(1<<literalBits-1)]
		at, bits, left = top(in, at, bits, left)
	}
	d.at, d.bits, d.left, d.n = at, bits, left, n
	return nil
}
