package deflate

import (
	"encoding/binary"
	"math/bits"
)

const (
	leastMatch = 4       // how long a match is at least; the format allows 3
	leastFar   = 1 << 12 // from how far back a match of four bytes takes more bits than the bytes
	margin     = 8       // so many bytes at the end of a text are not looked up, so that 8 bytes can always be read

	valueBits, bytesBits = 13, 13
)

// A divider divides a text into steps.
type divider struct {
	src      []byte
	at       int // where the next value begins
	end      int // where the last match ends
	distance int // of the last match
	steps    []step

	values [1 << valueBits]uint32 // where a value was seen last, by a hash of the value
	bytes  [1 << bytesBits]uint32 // where four bytes were seen last, by a hash of these
}

// start begins a text.
func (d *divider) start(src []byte) {
	d.src, d.at, d.end, d.distance = src, 0, 0, 1
	clear(d.values[:])
	clear(d.bytes[:])
}

// divide appends steps, until there are so many or a few more. It returns false at the
// end of the text.
func (d *divider) divide(most int) bool {
	src, p := d.src, d.at
	for safe := len(src) - margin; p < safe; {
		if len(d.steps) >= most {
			d.at = p
			return true
		}
		next := min(valueEnd(src, p), safe)
		if next-p >= leastMatch {
			d.value(p, next)
		} else if next > d.end {
			d.search(max(p, d.end), next)
		}
		p = next
	}
	d.at = p
	d.steps = append(d.steps, step{literals: uint32(len(src) - d.end)})
	return false
}

// value divides a value of at least leastMatch bytes.
func (d *divider) value(p, next int) {
	slot := &d.values[valueHash(d.src, p, next)]
	before := int(*slot)
	*slot = uint32(p)
	if next <= d.end {
		return // the last match holds it
	}
	at := max(p, d.end)
	from, length := 0, 0
	if d.distance <= at {
		from = at - d.distance
		length = common(d.src, from, at)
	}
	if back := p - before; at+length < next && isNear(back) {
		if n := common(d.src, at-back, at); n > length {
			from, length = at-back, n
		}
	}
	if length >= leastMatch {
		d.match(from, at, length)
	}
	d.search(max(at, d.end), next)
}

// search divides the bytes of a value that was not found as a whole.
func (d *divider) search(at, next int) {
	src := d.src
	for at < next {
		four := binary.LittleEndian.Uint32(src[at:])
		slot := &d.bytes[four*0x9e3779b1>>(32-bytesBits)]
		from := int(*slot)
		*slot = uint32(at)
		if like := at - d.distance; like >= 0 && binary.LittleEndian.Uint32(src[like:]) == four {
			from = like
		} else if !isNear(at-from) || binary.LittleEndian.Uint32(src[from:]) != four {
			at++
			continue
		}
		n := common(src, from, at)
		if n == leastMatch && at-from > leastFar {
			at++
			continue
		}
		d.match(from, at, n)
		at = d.end
	}
}

// isNear reports whether a match may refer so far back.
func isNear(distance int) bool { return uint(distance-1) < window }

// match appends a match of the bytes at a place with equal bytes at an earlier place.
// The bytes before it belong to the match, too, where they are equal.
func (d *divider) match(from, at, length int) {
	src := d.src
	for {
		for at > d.end && from > 0 && src[at-1] == src[from-1] {
			at, from, length = at-1, from-1, length+1
		}
		n := d.replaces(from, at)
		if n == 0 {
			break
		}
		at, from, length = at-n, from-n, length+n
	}
	literals := at - d.end
	d.end, d.distance = at+length, at-from
	for length > mostMatch {
		n := min(mostMatch, length-leastMatch)
		d.steps = append(d.steps, step{uint32(literals), uint16(n), uint16(d.distance - 1)})
		literals, length = 0, length-n
	}
	d.steps = append(d.steps, step{uint32(literals), uint16(length), uint16(d.distance - 1)})
}

// replaces takes the last match back if it ends at a place, and if the bytes before an earlier
// place equal it: a match that goes on from there can begin with it. It returns its length,
// or 0.
func (d *divider) replaces(from, at int) int {
	if at > d.end || len(d.steps) == 0 {
		return 0
	}
	last := d.steps[len(d.steps)-1]
	n := int(last.length)
	if n > from || at-from-1 == int(last.distance) || string(d.src[from-n:from]) != string(d.src[at-n:at]) {
		return 0
	}
	d.steps = d.steps[:len(d.steps)-1]
	d.end = at - n - int(last.literals)
	return n
}

// common returns how many bytes are equal from two places on.
func common(src []byte, from, at int) int {
	n := 0
	for ; at+n+8 <= len(src); n += 8 {
		differ := binary.LittleEndian.Uint64(src[from+n:]) ^ binary.LittleEndian.Uint64(src[at+n:])
		if differ != 0 {
			return n + bits.TrailingZeros64(differ)/8
		}
	}
	for at+n < len(src) && src[from+n] == src[at+n] {
		n++
	}
	return n
}

// valueHash hashes the length, the first, the middle and the last bytes of a value.
// At least 8 bytes stand behind where it begins.
func valueHash(src []byte, p, next int) uint64 {
	h, n := binary.LittleEndian.Uint64(src[p:]), next-p
	switch {
	case n < 8:
		h <<= 64 - 8*uint(n)
	case n > 16:
		h ^= bits.RotateLeft64(binary.LittleEndian.Uint64(src[p+n/2:]), 13)
		fallthrough
	default:
		h ^= bits.RotateLeft64(binary.LittleEndian.Uint64(src[next-8:]), 31)
	}
	return h * 0x9e3779b97f4a7c15 >> (64 - valueBits) // Fibonacci hashing
}

// valueEnd returns where the msgpack value ends that begins at a place. For a map and a
// list that is the end of the header. The end may lie beyond the text.
func valueEnd(src []byte, p int) int {
	if width := widths[src[p]]; width > 0 {
		return p + int(width)
	}
	return longEnd(src, p)
}

// longEnd is valueEnd of a value whose header says how long it is. There are 8 bytes at
// least.
func longEnd(src []byte, p int) int {
	n := uint32(0)
	switch src[p] {
	case 0xc4, 0xd9: // bin 8, str 8
		return p + 2 + int(src[p+1])
	case 0xc5, 0xda: // bin 16, str 16
		return p + 3 + int(binary.BigEndian.Uint16(src[p+1:]))
	case 0xc6, 0xdb: // bin 32, str 32
		n = binary.BigEndian.Uint32(src[p+1:])
	}
	return p + 5 + int(min(n, mostText))
}

// widths holds how many bytes a value takes, by its first byte; 0 is for values
// whose header says how long they are.
var widths = [256]uint8{
	0xc4: 0, 0xc5: 0, 0xc6: 0, 0xd9: 0, 0xda: 0, 0xdb: 0,
	0xca: 5, 0xcb: 9, // float
	0xcc: 2, 0xcd: 3, 0xce: 5, 0xcf: 9, // uint
	0xd0: 2, 0xd1: 3, 0xd2: 5, 0xd3: 9, // int
	0xd4: 3, 0xd5: 4, 0xd6: 6, 0xd7: 10, 0xd8: 18, // fixext
	0xc7: 3, 0xc8: 4, 0xc9: 6, // ext, without its bytes
	0xdc: 3, 0xdd: 5, 0xde: 3, 0xdf: 5, // list and map
	0xc0: 1, 0xc1: 1, 0xc2: 1, 0xc3: 1, // nil and bool
}

func init() {
	for c := range widths {
		switch {
		case c < 0xa0 || c >= 0xe0: // small numbers, maps and lists
			widths[c] = 1
		case c < 0xc0: // short texts
			widths[c] = uint8(1 + c&31)
		}
	}
}
