package inflate

// A decoder looks up the next bits of the input in a table. The entry that it
// finds describes the code that these bits begin with:
//
//	bit 31      literal: the code is a byte
//	bits 16–30  the byte; or the smallest length or distance of the code; or the
//	            index at which a subtable begins
//	bit 15      exceptional: the code is neither a byte, nor a length or distance
//	bit 14      subtable: the code has more bits than the table's index
//	bit 13      endOfBlock: the code ends the block
//	bits 8–11   the number of bits of the code; or of the subtable's index
//	bits 0–5    the number of bits of the code and of the extra bits behind it
//
// A subtable is indexed by the bits that follow the bits of the table's index. Its
// entries do not count the bits of the table's index.
const (
	literal     = 1 << 31
	exceptional = 1 << 15
	subtable    = 1 << 14
	endOfBlock  = 1 << 13
)

const (
	literalBits  = 11
	distanceBits = 8
	lengthBits   = 7
	mostCode     = 15

	literalCodes  = 288
	distanceCodes = 32
	lengthCodes   = 19
)

// A table begins with the entries for its own index; the subtables follow. Each
// subtable has an entry for every value of the bits that the longest code has
// beyond the table's index. At least two codes share a subtable, so there are at
// most half as many subtables as codes.
type (
	literalTable  [1<<literalBits + literalCodes/2<<(mostCode-literalBits)]uint32
	distanceTable [1<<distanceBits + distanceCodes/2<<(mostCode-distanceBits)]uint32
)

// build fills a table whose index has tableBits bits. Lengths holds the number of
// bits of each symbol's code, and entry holds the table entry of each symbol. Build
// returns false when the lengths do not form a prefix code. Like other decoders,
// it accepts an incomplete code only if that has no symbol, or one symbol with a
// code of one bit.
func build(table []uint32, tableBits int, lengths []byte, entry []uint32) bool {
	var count [mostCode + 1]int
	for _, n := range lengths {
		count[n]++
	}
	count[0] = 0
	free := 1
	for _, c := range count[1:] {
		if free = free<<1 - c; free < 0 {
			return false
		}
	}
	var order [literalCodes]uint16
	inOrder(&order, lengths, count)
	if free > 0 {
		return buildIncomplete(table, count[:], entry[order[0]])
	}
	code, next := buildShort(table, tableBits, count[:], order[:], entry)
	buildLong(table, tableBits, count[:], order[next:], entry, code)
	return true
}

// inOrder sorts the symbols that have codes: by the lengths of their codes, as
// the codes are given.
func inOrder(order *[literalCodes]uint16, lengths []byte, count [mostCode + 1]int) {
	var place [mostCode + 2]int
	for n, c := range count {
		place[n+1] = place[n] + c
	}
	for symbol, n := range lengths {
		if n > 0 {
			order[place[n]] = uint16(symbol)
			place[n]++
		}
	}
}

// buildIncomplete fills the table of a code that has one symbol at most.
func buildIncomplete(table []uint32, count []int, entry uint32) bool {
	if !almostEmpty(count) {
		return false
	}
	for i := range table {
		if table[i] = exceptional; i&1 == 0 && count[1] == 1 {
			table[i] = withLength(entry, 1)
		}
	}
	return true
}

// buildShort fills the table with the codes that have at most tableBits bits. It
// returns the first longer code, with its bits reversed, and how many symbols have
// shorter ones. Each code of n bits stands at every index that ends with it: the
// first 1<<n entries are copied for that.
func buildShort(table []uint32, tableBits int, count []int, order []uint16, entry []uint32) (code, symbols int) {
	for n := 1; n <= tableBits; n++ {
		for range count[n] {
			table[code] = withLength(entry[order[symbols]], n)
			code = after(code, n)
			symbols++
		}
		if n < tableBits {
			copy(table[1<<n:2<<n], table[:1<<n])
		}
	}
	return code, symbols
}

// buildLong fills subtables with the longer codes. Codes that share a
// subtable follow one another.
func buildLong(table []uint32, tableBits int, count []int, order []uint16, entry []uint32, code int) {
	begin, size, prefix := 1<<tableBits-1<<(mostCode-tableBits), 1<<(mostCode-tableBits), -1
	for n := tableBits + 1; n <= mostCode; n++ {
		for range count[n] {
			if p := code & (1<<tableBits - 1); p != prefix {
				prefix, begin = p, begin+size
				table[p] = exceptional | subtable | uint32(begin)<<16 | uint32(mostCode-tableBits)<<8
			}
			for i := code >> tableBits; i < size; i += 1 << (n - tableBits) {
				table[begin+i] = withLength(entry[order[0]], n-tableBits)
			}
			code, order = after(code, n), order[1:]
		}
	}
}

// after returns the code of n bits that follows a code. The bits of both are
// reversed.
func after(code, n int) int {
	bit := 1 << (n - 1)
	for code&bit != 0 {
		code ^= bit
		bit >>= 1
	}
	return code | bit
}

// almostEmpty reports whether no symbol has a code, or one symbol has a code of one bit.
func almostEmpty(count []int) bool {
	for n, c := range count {
		if c > 1 || c == 1 && n != 1 {
			return false
		}
	}
	return true
}

// withLength adds the length of a code to the entry of a symbol.
func withLength(entry uint32, n int) uint32 {
	if entry&exceptional == 0 || entry&endOfBlock != 0 {
		entry += uint32(n) | uint32(n)<<8
	}
	return entry
}

// The table entries of the symbols, without the lengths of their codes, and the
// tables of the codes that the format fixes.
var (
	literalEntries  [literalCodes]uint32
	distanceEntries [distanceCodes]uint32
	lengthEntries   [lengthCodes]uint32

	fixedLiterals  literalTable
	fixedDistances distanceTable
)

func init() {
	for i := range 256 {
		literalEntries[i] = literal | uint32(i)<<16
	}
	literalEntries[256] = exceptional | endOfBlock
	base := 3
	for i := 257; i < 285; i++ {
		extra := max(0, (i-261)/4)
		literalEntries[i] = uint32(base)<<16 | uint32(extra)
		base += 1 << extra
	}
	literalEntries[285] = 258 << 16
	literalEntries[286], literalEntries[287] = exceptional, exceptional
	base = 1
	for i := range 30 {
		extra := max(0, (i-2)/2)
		distanceEntries[i] = uint32(base)<<16 | uint32(extra)
		base += 1 << extra
	}
	distanceEntries[30], distanceEntries[31] = exceptional, exceptional
	for i := range lengthEntries {
		lengthEntries[i] = uint32(i) << 16
	}
	var lengths [literalCodes]byte
	for i := range lengths {
		switch {
		case i < 144, i >= 280:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		default:
			lengths[i] = 7
		}
	}
	build(fixedLiterals[:], literalBits, lengths[:], literalEntries[:])
	build(fixedDistances[:], distanceBits, []byte{5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5}, distanceEntries[:])
}
