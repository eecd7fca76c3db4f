package bucket

import (
	"context"

	"github.com/timeblob/timeblob/blob"
)

// Blobs holds values by key; tiered.Store satisfies it. It is safe for any
// number of goroutines.
type Blobs[T any] interface {
	// Get returns a result for each ref, by index: the value, or that there is
	// no such blob, or why it could not be read. When a result has an error,
	// Get returns the joined errors of all results too. An error without
	// results is the error of every ref. Values are shared: nobody may change
	// them.
	Get(ctx context.Context, refs []blob.Ref) ([]blob.Result[T], error)

	// Encode returns the blob of a value.
	Encode(v T) ([]byte, error)

	// Put stores a blob under a key that is not taken; ErrExists when it is.
	// When Put returns any other error the blob may or may not be stored.
	Put(ctx context.Context, key string, blob []byte) error
}

// Merge makes one value of two or more. It must be associative and
// commutative by meaning, must not modify its parts, and may share memory
// with them. It is never called with fewer than two: the merge of one part is
// the part, of none the zero value of T.
type Merge[T any] func(parts []T) (T, error)

// mergeParts returns the merge of any number of parts.
func mergeParts[T any](merge Merge[T], parts []T) (v T, err error) {
	switch len(parts) {
	case 0:
		return v, nil
	case 1:
		return parts[0], nil
	}
	return merge(parts)
}
