package inflate

import (
	"encoding/binary"
	"unsafe"
)

// The functions of this file read and write without checking bounds. [Decoder.fast]
// alone calls them. Before each turn it makes sure that the input has turnBytes
// from at on, and that the output has room from n on. A turn fills up the bits
// twice at most, by 7 bytes each time, and then reads 8. It writes two literals at
// most, or one and a match, and a match is written in whole pieces of overlap
// bytes.

// turnBytes is how much input one turn of the loop may read.
const turnBytes = 7 + 7 + 8

// overlap is the least distance of a match that is copied in pieces of as many bytes.
const overlap = 16

// top fills up the bits: 56 or more count then.
func top(in *byte, at int, bits uint64, left uint) (int, uint64, uint) {
	next := binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(unsafe.Pointer(in), at))[:])
	return at + int(63-left)>>3, bits | next<<(left&63), left | 56
}

// put writes a literal, and returns where the next byte is to be written.
func put(out *byte, n int, e uint32) int {
	*(*byte)(unsafe.Add(unsafe.Pointer(out), n)) = byte(e >> 16)
	return n + 1
}

// copyPiece copies overlap bytes to a place from distance bytes before it.
func copyPiece(out *byte, n, distance int) {
	to, from := unsafe.Add(unsafe.Pointer(out), n), unsafe.Add(unsafe.Pointer(out), n-distance)
	a, b := binary.NativeEndian.Uint64((*[8]byte)(from)[:]), binary.NativeEndian.Uint64((*[8]byte)(unsafe.Add(from, 8))[:])
	binary.NativeEndian.PutUint64((*[8]byte)(to)[:], a)
	binary.NativeEndian.PutUint64((*[8]byte)(unsafe.Add(to, 8))[:], b)
}
