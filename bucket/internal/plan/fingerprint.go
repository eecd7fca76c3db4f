package plan

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/timeblob/timeblob/blob"
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
// the key. Roll-ups follow the entries, each as an entry at the start of its
// span. No entry has the key of a roll-up. Lengths stand before
// the bytes that they measure, so no two lists hash the same bytes. With 128
// bits the chance that two of n lists share a fingerprint is n²/2¹²⁹.
type fingerprint [16]byte

// sumFollows is the bit of a key's length that says that a sum follows the key.
const sumFollows = 1 << 63

// hashedAtOnce is how many bytes are hashed in one call.
const hashedAtOnce = 16 << 10

// fingerprintOf returns the fingerprint of pieces. Scratch is memory to work
// in; the second result can be passed next time.
func fingerprintOf(p pieces, scratch []byte) (fingerprint, []byte) {
	hash := sha256.New()
	b := scratch[:0]
	add := func(t int64, key string, sum blob.Sum) {
		if b = appendPiece(b, t, key, sum); len(b) > hashedAtOnce {
			hash.Write(b)
			b = b[:0]
		}
	}
	for i := range p.entries {
		e := &p.entries[i]
		add(e.Time, e.Key, e.Sum)
	}
	for i := range p.rolled {
		r := &p.rolled[i]
		add(r.Start, r.Key, r.Sum)
	}
	hash.Write(b)
	var sum [sha256.Size]byte
	hash.Sum(sum[:0])
	return fingerprint(sum[:16]), b
}

func appendPiece(b []byte, t int64, key string, sum blob.Sum) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(t))
	length := uint64(len(key))
	if sum.Known() {
		length |= sumFollows
	}
	b = binary.BigEndian.AppendUint64(b, length)
	b = append(b, key...)
	if sum.Known() {
		b = append(b, sum[:]...)
	}
	return b
}
