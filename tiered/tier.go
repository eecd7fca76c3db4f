package tiered

import (
	"context"
	"io/fs"
	"iter"
)

// ErrExists is returned by an authority's Put when the key is taken. It is
// fs.ErrExist, so that drivers that import nothing of ours can return it too;
// compare with errors.Is.
var ErrExists = fs.ErrExist

// Tier is one place that blobs are read from and written to. Keys are opaque to
// it; package bucket's are at most 98 bytes of ASCII letters, digits, slashes and
// hyphens: index.RollUpKey makes the longest. A blob under a key never
// changes. A tier is safe for any number of goroutines, returns soon after its
// context has ended, with the context's error, and so does a call whose context has ended
// before. It keeps no reference to what it is given, and returns bytes
// that are the caller's. tiertest.Run checks all that is said here but durability.
type Tier interface {
	// Get returns the blob of each key, by index. The blob of a key that the
	// tier does not hold is nil, and that is no error; an empty blob is not
	// nil. With an error Get returns the blobs that it could read, nil for
	// the others, or no slice at all. Keys may repeat; the blobs of equal
	// keys may share their memory.
	Get(ctx context.Context, keys []string) ([][]byte, error)

	// Put stores a blob. An authority does not overwrite: on a key that is
	// taken it changes nothing and returns ErrExists; a cache may do either.
	// When an authority's Put returns nil, the blob survives a crash of the
	// process, and every Get that starts later finds it, until retention removes
	// it. When Put returns another error than ErrExists the blob may or may not
	// be stored. An ErrExists with a method Own() bool that returns true says that
	// the key has this blob, by an earlier Put of this process that seemed to fail.
	Put(ctx context.Context, key string, blob []byte) error
}

// Deleter is a tier that can remove blobs.
type Deleter interface {
	// Delete removes the blobs of keys; a key without a blob is no error.
	// When it returns nil, no Get that starts later finds any of them, unless
	// they are put again. When it returns an error, some may have been removed;
	// the same call may be made again. It returns an error when ctx has ended.
	Delete(ctx context.Context, keys []string) error
}

// Lister is a tier that can list its keys. tiertest.RunLister checks one.
type Lister interface {
	// List yields, once each and in no order, the keys that begin with prefix
	// and whose instant lies in [from, to), Unix nanoseconds. The instant of a
	// key is the one that index.ParseBlobKey reads. A tier may use from and to
	// to look at less, or ignore them and yield more keys of the prefix. A blob
	// that is put or deleted meanwhile may or may not be among them, and the
	// tier may be used in the loop. When List yields an error it yields nothing
	// after it.
	List(ctx context.Context, prefix string, from, to int64) iter.Seq2[string, error]
}

// Codec turns values into blobs and back. It is safe for any number of
// goroutines, and deterministic: a value or a blob that it refuses, by an error
// or a panic, is refused for good. codectest.Run checks a codec.
type Codec[T any] interface {
	// Encode returns the blob of v, which is the caller's. Readers share v
	// meanwhile: Encode must not write to it, not even to sort it. For types
	// whose encoding does, bucket.CollectorOptions has Clone.
	Encode(v T) ([]byte, error)
	// Decode returns the value of a blob. It keeps no reference to the blob.
	// Any bytes may come: it returns an error, and never panics, and takes
	// memory in proportion to the blob's length or a limit of its own.
	Decode(blob []byte) (T, error)
}
