package wire

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/timeblob/timeblob/reports/report"
)

const wordBits = 11

// words remembers short strings that were decoded lately. A string that repeats,
// within a report or in the next one, is then held in memory once. words keeps at
// most 2048 strings, each at most [report.SharedLength] bytes long.
type words struct {
	slots *[1 << wordBits]string
	chunk []byte // holds the texts that came last; it has room for more
}

// wordChunk is how many bytes are allocated for texts at a time. A text that is
// held on to keeps its chunk.
const wordChunk = 512

// get returns b as a string.
func (w *words) get(b []byte) string {
	if len(b) == 0 || len(b) > report.SharedLength {
		return string(b)
	}
	if w.slots == nil {
		w.slots = new([1 << wordBits]string)
	}
	slot := &w.slots[wordSlot(b)]
	if *slot != string(b) {
		*slot = w.hold(b)
	}
	return *slot
}

// hold returns a copy of b, which is short and not empty, as a string.
func (w *words) hold(b []byte) string {
	if cap(w.chunk)-len(w.chunk) < len(b) {
		w.chunk = make([]byte, 0, wordChunk)
	}
	at := len(w.chunk)
	w.chunk = append(w.chunk, b...) // never again written to
	return unsafe.String(&w.chunk[at], len(b))
}

// wordSlot hashes the length, the first and the last bytes: keys differ there.
// Strings that share a slot only miss the chance of being shared.
func wordSlot(b []byte) uint64 {
	h := uint64(len(b))
	if n := len(b); n >= 8 {
		h ^= binary.LittleEndian.Uint64(b) ^ bits.RotateLeft64(binary.LittleEndian.Uint64(b[n-8:]), 31)
	} else {
		for _, c := range b {
			h = h<<8 ^ uint64(c)
		}
	}
	return h * 0x9e3779b97f4a7c15 >> (64 - wordBits) // Fibonacci hashing
}
