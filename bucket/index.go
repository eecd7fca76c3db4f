package bucket

import (
	"context"
	"io/fs"
	"iter"
)

// Entry is one blob's place in the index.
type Entry struct {
	Time int64  // the instant, Unix nanoseconds
	Key  string // the blob's key
}

// ErrExists is returned by Index.Put when the instant is taken, and by
// Blobs.Put and Committer.Commit when the key is. It is fs.ErrExist, so that
// drivers that import nothing of ours can return it too; compare with
// errors.Is.
var ErrExists = fs.ErrExist

// Index finds the entries of a row. An index is safe for any number of
// goroutines and processes; indextest.Run checks all that is said here.
type Index interface {
	// Put adds an entry. When the row has one of the same instant already,
	// whatever its key, Put leaves it alone and returns ErrExists. When Put
	// returns any other error the entry may or may not have been added; when
	// it returns nil, every Query that starts later finds it.
	Put(ctx context.Context, row Row, e Entry) error

	// Query returns all of the row's entries with from ≤ Time < to in
	// ascending order of Time: every page of them, or an error. Bounds beyond
	// the row's own hour are allowed. The slice is the caller's.
	Query(ctx context.Context, row Row, from, to int64) ([]Entry, error)
}

// Scanner is an index that can walk over a tenant's rows, those that have no
// entries at no cost. A question about many rows asks it in place of Query.
type Scanner interface {
	// Scan yields the tenant's entries with from ≤ Time < to in ascending
	// order, all that a Query of each row would return, or an error and
	// nothing after it.
	Scan(ctx context.Context, tenant string, from, to int64) iter.Seq2[Entry, error]
}

// Committer is an index that holds blobs as well and so can store a blob and
// make it discoverable in one step. Of a tenant, one collector at a time
// commits: when a commit fails that may have landed, and its instant is then
// taken, the collector takes it for its own.
type Committer interface {
	// Commit stores blob under e.Key and adds e, both or neither, and returns
	// nil only when they will survive a crash. When the instant or the key is
	// taken it changes nothing and returns ErrExists.
	Commit(ctx context.Context, row Row, e Entry, blob []byte) error
}

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
