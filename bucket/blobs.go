package bucket

import "context"

// Blobs holds values by key; tiered.Store satisfies it. It is safe for any
// number of goroutines.
type Blobs[T any] interface {
	// Get returns the values of the keys that exist; a key that does not is
	// absent from the map. A key that cannot be read is an error that names
	// it, and the map holds the others. Values are shared: nobody may change
	// them.
	Get(ctx context.Context, keys []string) (map[string]T, error)

	// Encode returns the blob of a value.
	Encode(v T) ([]byte, error)

	// Put stores a blob under a key that is not taken; ErrExists when it is.
	// When Put returns any other error the blob may or may not be stored.
	Put(ctx context.Context, key string, blob []byte) error
}
