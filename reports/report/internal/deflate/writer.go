package deflate

import "encoding/binary"

// A writer writes bits.
type writer struct {
	dst  []byte
	bits uint64 // what is not written yet, from the lowest bit on
	n    uint   // how many bits; fewer than 8 between calls
}

// begin begins a stream at the end of dst.
func (w *writer) begin(dst []byte) { w.dst, w.bits, w.n = dst, 0, 0 }

// finish ends the stream, and returns it.
func (w *writer) finish() []byte {
	w.put(0, 7)
	return w.dst
}

// put writes the lowest n bits of v, at most 48. The others must be 0.
func (w *writer) put(v uint64, n uint) {
	w.bits |= v << w.n
	w.n += n
	w.dst = binary.LittleEndian.AppendUint64(w.dst, w.bits)
	w.dst = w.dst[:len(w.dst)-8+int(w.n/8)]
	w.bits >>= w.n &^ 7
	w.n &= 7
}
