package deflate

// A step is a number of bytes that are written as they are, and a match behind them:
// length bytes that also stand distance + 1 bytes earlier. The last step of a text has
// no match; its length is 0.
type step struct {
	literals         uint32
	length, distance uint16
}

// mostText is how many bytes of a text are compressed at once. Matches do not refer
// from one part of a text to another. It keeps positions in 32 bits.
const mostText = 1 << 26

const (
	window    = 1 << 15 // how far back a match may refer
	mostMatch = 258     // bytes of a match
	mostCode  = 15      // bits of a code

	literals    = 286 // symbols for bytes, the end of a block, and lengths
	distances   = 30  // symbols for distances
	mostSymbols = literals
	endOf       = 256 // the symbol for the end of a block
	firstLen    = 257 // the first symbol for a length
)

// The lengths and distances that symbols stand for, and how many extra bits follow.
var (
	lengthBases, lengthExtra     [29]uint16
	distanceBases, distanceExtra [distances]uint16 // of distance - 1

	lengthSymbols  [mostMatch + 1]uint8
	nearSymbols    [256]uint8 // by distance - 1
	distantSymbols [256]uint8 // by (distance - 1) / 128
)

func init() {
	at := 3
	for i := range lengthBases {
		lengthBases[i], lengthExtra[i] = uint16(at), uint16(max(0, (i-4)/4))
		for range 1 << lengthExtra[i] {
			lengthSymbols[min(at, mostMatch)] = uint8(i)
			at++
		}
	}
	last := len(lengthBases) - 1 // the longest length has a symbol of its own
	lengthBases[last], lengthExtra[last], lengthSymbols[mostMatch] = mostMatch, 0, uint8(last)
	at = 0
	for i := range distanceBases {
		distanceBases[i], distanceExtra[i] = uint16(at), uint16(max(0, (i-2)/2))
		for range 1 << distanceExtra[i] {
			if at < len(nearSymbols) {
				nearSymbols[at] = uint8(i)
			}
			distantSymbols[at/128] = uint8(i)
			at++
		}
	}
}

// distanceSymbol returns the symbol of a distance, which is one less than said.
func distanceSymbol(distance uint16) uint8 {
	if distance < 256 {
		return nearSymbols[distance]
	}
	return distantSymbols[distance>>7&0xff]
}
