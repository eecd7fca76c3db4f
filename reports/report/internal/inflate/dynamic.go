package inflate

// lengthOrder is the order in which a block gives the lengths of its length codes.
var lengthOrder = [lengthCodes]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// readTables reads the codes at the beginning of a block that has its own.
func (d *Decoder) readTables() error {
	nLiterals, nDistances, nLengths := d.take(5)+257, d.take(5)+1, d.take(4)+4
	if nLiterals > 286 || nDistances > 30 {
		return ErrCorrupt
	}
	var lengths [literalCodes + distanceCodes]byte
	var order [lengthCodes]byte
	for _, symbol := range lengthOrder[:nLengths] {
		d.refill()
		order[symbol] = byte(d.take(3))
	}
	var table [1 << lengthBits]uint32
	if !build(table[:], lengthBits, order[:], lengthEntries[:]) {
		return ErrCorrupt
	}
	all := lengths[:nLiterals+nDistances]
	for i := 0; i < len(all); {
		n, ok := d.readLength(all, i, &table)
		if !ok {
			return ErrCorrupt
		}
		i += n
	}
	if !build(d.literals[:], literalBits, all[:nLiterals], literalEntries[:]) ||
		!build(d.distances[:], distanceBits, all[nLiterals:], distanceEntries[:]) {
		return ErrCorrupt
	}
	return nil
}

// readLength reads one length code. It writes the length, as often as the code
// repeats it, into all from index i on. It returns the number of lengths that it
// wrote. It returns false when the input is corrupt or ends.
func (d *Decoder) readLength(all []byte, i int, table *[1 << lengthBits]uint32) (n int, ok bool) {
	if d.refill(); d.overrun() {
		return 0, false
	}
	e := table[d.bits&(1<<lengthBits-1)]
	if e&exceptional != 0 {
		return 0, false
	}
	d.take(uint(e & 63))
	symbol, length := int(e>>16), byte(0)
	switch symbol {
	case 16:
		if i == 0 {
			return 0, false
		}
		n, length = 3+d.take(2), all[i-1]
	case 17:
		n = 3 + d.take(3)
	case 18:
		n = 11 + d.take(7)
	default:
		n, length = 1, byte(symbol)
	}
	if i+n > len(all) {
		return 0, false
	}
	for k := range n {
		all[i+k] = length
	}
	return n, true
}
