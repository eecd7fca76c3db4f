package index

import (
	"context"
	"iter"

	"github.com/timeblob/timeblob/blob"
)

// Entry names one blob in the index, with what is known of it. Two entries of
// a row with the same Time and Key are the same entry: an entry that an older
// version wrote has no size and no sum.
type Entry struct {
	Time int64    // the instant, Unix nanoseconds
	Key  string   // the blob's key
	Size int64    // the blob's length in bytes; 0 when it is unknown
	Sum  blob.Sum // the sum of the blob's bytes; zero when it is unknown
}

// Ref returns the entry's blob.
func (e Entry) Ref() blob.Ref { return blob.Ref{Key: e.Key, Size: e.Size, Sum: e.Sum} }

// Same reports whether both name the same instant and key.
func (e Entry) Same(other Entry) bool { return e.Time == other.Time && e.Key == other.Key }

// ErrExists is returned by Index.Put when the instant is taken, and by
// Blobs.Put and Committer.Commit when the key is. It is fs.ErrExist, so that
// drivers that import nothing of ours can return it too; compare with
// errors.Is.
var ErrExists = blob.ErrExists

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
