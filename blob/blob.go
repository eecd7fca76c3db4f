// Package blob names blobs and says what is known of them.
//
// A blob is an encoded value. Its key never names other bytes. Its size and
// its sum are known where the index recorded them, so that a reader can
// refuse work before doing it and can check the bytes that it was given.
package blob

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
)

// ErrExists is returned by a write that must not overwrite, when the key or
// the instant is taken. It is fs.ErrExist, so that drivers that import nothing
// of this module can return it too; compare with errors.Is.
var ErrExists = fs.ErrExist

// Sum is the first 128 bits of the SHA-256 of a blob's bytes. The zero Sum
// means that the sum is unknown. Nobody can make other bytes of a given sum.
type Sum [16]byte

// SumOf returns the sum of a blob.
func SumOf(blob []byte) Sum {
	sum := sha256.Sum256(blob)
	return Sum(sum[:len(Sum{})])
}

// Known reports whether s is a sum and not the zero Sum.
func (s Sum) Known() bool { return s != Sum{} }

// String returns the sum in lower-case hex.
func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// Ref names one blob.
type Ref struct {
	Key  string
	Size int64 // the blob's length in bytes; 0 when it is unknown
	Sum  Sum   // zero when it is unknown
}

// Result is what a read found under one key.
type Result[T any] struct {
	Value T
	Found bool  // false when there is no such blob, or when Err is set
	Size  int64 // the length in bytes of the blob that Value was decoded from; 0 when it is unknown
	Err   error // why the blob could not be read
}

// ParseSum undoes Sum.String.
func ParseSum(text string) (s Sum, err error) {
	if len(text) != hex.EncodedLen(len(s)) {
		return s, fmt.Errorf("sum %.40q: must have %d hex digits", text, hex.EncodedLen(len(s)))
	}
	if _, err := hex.Decode(s[:], []byte(text)); err != nil {
		return s, fmt.Errorf("sum %q: %w", text, err)
	}
	return s, nil
}
