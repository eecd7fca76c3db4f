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

	// Put stores a blob under a key that is not taken; ErrExists when it is. An
	// ErrExists with a method Own() bool that returns true says that the key has
	// this blob, by an earlier Put of this process that seemed to fail. When Put
	// returns any other error the blob may or may not be stored. An error with a
	// method TooLarge() bool that returns true says that the blob is too large for
	// the store and is not stored.
	Put(ctx context.Context, key string, blob []byte) error
}

// Merge makes one value of two or more. It must be associative and commutative
// by meaning. Its parts are shared with readers and with other merges: Merge must
// not write to them, not even to sort or to cache something in them, but its
// result may be one of them, or share memory with them. The slice itself is Merge's
// own. Many goroutines call it at a time. It is
// never called with fewer than two parts: the merge of one part is the part, and
// the merge of none is the zero value of T.
//
// Merging is taken to be deterministic. Parts that it refuses, by an error or a
// panic, are refused for good: Add returns the error, and so does a question
// that needs the merge. Package codectest checks a merge function.
//
// A function of the user should return soon. One that never returns stops its tenant.
// The Add or the question that has called it cannot end. Other calls about the tenant end with
// their contexts, other tenants' values are taken and stored, and Flush and Close end with
// their contexts.
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
