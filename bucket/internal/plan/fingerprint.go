package plan

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/timeblob/timeblob/index"
)

// fingerprint names an ordered list of entries. It is the first 16 bytes of
// the SHA-256 of these bytes, for each entry in turn:
//
//	┌───────────────┬─────────────────┬─────────────────┬───────────┐
//	│ Time          │ len(Key)        │ Key             │ Sum       │
//	│ 8 bytes       │ 8 bytes         │ len(Key) bytes  │ 16 bytes  │
//	│ big-endian    │ big-endian      │                 │ if known  │
//	│ two's compl.  │ top bit: Sum    │                 │           │
//	└───────────────┴─────────────────┴─────────────────┴───────────┘
//
// The top bit of the length says that the sum of the blob is known and follows
// the key. An entry without a sum hashes as it always did. Lengths stand before
// the bytes that they measure, so no two lists hash the same bytes. With 128
// bits the chance that two of n lists share a fingerprint is n²/2¹²⁹. The
// format is frozen: merged blobs may be stored under a fingerprint.
type fingerprint [16]byte

// sumFollows is the bit of a key's length that says that a sum follows the key.
const sumFollows = 1 << 63

// fingerprintOf returns the fingerprint of entries. Scratch is memory to work
// in; the second result can be passed next time.
func fingerprintOf(entries []index.Entry, scratch []byte) (fingerprint, []byte) {
	b := scratch[:0]
	for _, e := range entries {
		b = binary.BigEndian.AppendUint64(b, uint64(e.Time))
		length := uint64(len(e.Key))
		if e.Sum.Known() {
			length |= sumFollows
		}
		b = binary.BigEndian.AppendUint64(b, length)
		b = append(b, e.Key...)
		if e.Sum.Known() {
			b = append(b, e.Sum[:]...)
		}
	}
	sum := sha256.Sum256(b)
	return fingerprint(sum[:16]), b
}
