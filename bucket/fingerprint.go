package bucket

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/timeblob/timeblob/index"
)

// fingerprint names an ordered list of entries: the first 16 bytes of the
// SHA-256 of, for each entry in turn,
//
//	┌───────────────┬───────────────┬─────────────────┐
//	│ Time          │ len(Key)      │ Key             │
//	│ 8 bytes       │ 8 bytes       │ len(Key) bytes  │
//	│ big-endian    │ big-endian    │                 │
//	│ two's compl.  │ unsigned      │                 │
//	└───────────────┴───────────────┴─────────────────┘
//
// Lengths stand before what they measure, so no two lists hash the same
// bytes. 128 bits leave the chance that two of n lists share a fingerprint at
// n²/2¹²⁹, and whoever could look for such a pair can write blobs anyway.
// Frozen: merged blobs may be stored under it.
type fingerprint [16]byte

// fingerprintOf returns the fingerprint of entries. Scratch is memory to work
// in; what is returned beside the fingerprint can be passed next time.
func fingerprintOf(entries []index.Entry, scratch []byte) (fingerprint, []byte) {
	b := scratch[:0]
	for _, e := range entries {
		b = binary.BigEndian.AppendUint64(b, uint64(e.Time))
		b = binary.BigEndian.AppendUint64(b, uint64(len(e.Key)))
		b = append(b, e.Key...)
	}
	sum := sha256.Sum256(b)
	return fingerprint(sum[:16]), b
}
