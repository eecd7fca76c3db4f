package deflate

import (
	"encoding/binary"
	"slices"
)

// A coder writes blocks.
type coder struct {
	writer
	huffman   huffman
	literals  alphabet
	distances alphabet
	matches   [mostMatch + 1]uint32 // by length: its code and extra bits, and from bit 24 on their number
}

// An alphabet is a set of symbols, and a code for each one that occurs.
type alphabet struct {
	counts  [literals]uint32
	lengths [literals]byte
	codes   [literals]code
}

// block writes a text that is divided into steps, in the shorter form. It returns the
// length of the text.
func (c *coder) block(text []byte, steps []step, last bool) int {
	size := c.prepare(text, steps)
	c.dst = slices.Grow(c.dst, min(size/8, len(text)+len(text)/1024)+mostHead)
	begun, bits, n := len(c.dst), c.bits, c.n
	c.put(bit(last)|2<<1, 3)
	c.head(&c.huffman, c.literals.lengths[:literals], c.distances.lengths[:distances])
	if len(c.dst)-begun+size/8 < len(text) {
		c.body(text, steps)
	} else {
		c.dst, c.bits, c.n = c.dst[:begun], bits, n
		c.stored(text, last)
	}
	return len(text)
}

// mostHead is more bytes than the head of a block, and what is written beyond the end of
// the output.
const mostHead = 512

// stored writes a text as it is.
func (c *coder) stored(text []byte, last bool) {
	for first := true; first || len(text) > 0; first = false {
		n := min(len(text), 1<<16-1)
		c.put(bit(last && n == len(text)), 3)
		if c.n > 0 {
			c.put(0, 8-c.n)
		}
		c.put(uint64(n)|uint64(^uint16(n))<<16, 32)
		c.dst, text = append(c.dst, text[:n]...), text[n:]
	}
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// prepare finds the codes of a block. It returns how many bits the block then has,
// without its head.
func (c *coder) prepare(text []byte, steps []step) (size int) {
	lit, dist := &c.literals, &c.distances
	clear(lit.counts[:])
	clear(dist.counts[:])
	lit.counts[endOf] = 1
	for i := range steps {
		s := &steps[i]
		for _, b := range text[:s.literals] {
			lit.counts[b]++
		}
		if text = text[int(s.literals)+int(s.length):]; s.length > 0 {
			lit.counts[firstLen+int(lengthSymbols[s.length])]++
			dist.counts[distanceSymbol(s.distance)]++
		}
	}
	size = c.build(lit, literals) + c.build(dist, distances)
	for i, extra := range lengthExtra {
		size += int(lit.counts[firstLen+i]) * int(extra)
	}
	for i, extra := range distanceExtra {
		size += int(dist.counts[i]) * int(extra)
	}
	c.setMatches()
	return size
}

// build finds the code of an alphabet of n symbols. It returns how many bits all symbols
// have.
func (c *coder) build(a *alphabet, n int) (size int) {
	ensureTwo(a.counts[:n])
	c.huffman.lengths(a.lengths[:n], a.counts[:n], mostCode)
	setCodes(a.codes[:n], a.lengths[:n])
	for symbol, count := range a.counts[:n] {
		size += int(count) * int(a.lengths[symbol])
	}
	return size
}

// setMatches notes what is written for each length of a match.
func (c *coder) setMatches() {
	for length := 3; length <= mostMatch; length++ {
		symbol := lengthSymbols[length]
		code := uint32(c.literals.codes[firstLen+int(symbol)])
		n := code >> 16
		extra := uint32(length) - uint32(lengthBases[symbol])
		c.matches[length] = code&0xffff | extra<<n | (n+uint32(lengthExtra[symbol]))<<24
	}
}

// body writes the symbols of a block. The output has room for them.
func (c *coder) body(text []byte, steps []step) {
	out, at := c.dst[:cap(c.dst)], len(c.dst)
	bits, n := c.bits, c.n
	lit, dist := &c.literals.codes, &c.distances.codes
	for i := range steps {
		s := &steps[i]
		for _, b := range text[:s.literals] {
			code := lit[b]
			bits |= uint64(code&0xffff) << (n & 63)
			n += uint(code >> 16)
			binary.LittleEndian.PutUint64(out[at:], bits)
			at += int(n / 8)
			bits >>= n & 56
			n &= 7
		}
		text = text[int(s.literals)+int(s.length):]
		if s.length == 0 {
			continue
		}
		match, symbol := c.matches[s.length], distanceSymbol(s.distance)
		bits |= uint64(match&(1<<24-1)) << (n & 63)
		n += uint(match >> 24)
		code := dist[symbol]
		bits |= uint64(code&0xffff) << (n & 63)
		n += uint(code >> 16)
		bits |= uint64(s.distance-distanceBases[symbol]) << (n & 63)
		n += uint(distanceExtra[symbol])
		binary.LittleEndian.PutUint64(out[at:], bits)
		at += int(n / 8)
		bits >>= n & 56
		n &= 7
	}
	c.dst, c.bits, c.n = out[:at], bits, n
	c.put(uint64(lit[endOf]&0xffff), uint(lit[endOf]>>16))
}
