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
	Key  string   // the blob's key; package tiered says what keys look like
	Size int64    // the blob's length in bytes; 0 when it is unknown
	Sum  blob.Sum // the sum of the blob's bytes; zero when it is unknown
}

// Ref returns the entry's blob.
func (e Entry) Ref() blob.Ref { return blob.Ref{Key: e.Key, Size: e.Size, Sum: e.Sum} }

// Same reports whether both name the same instant and key.
func (e Entry) Same(other Entry) bool { return e.Time == other.Time && e.Key == other.Key }

// ErrExists is returned by Index.Put when the instant is taken, and by
// Committer.Commit when the instant or the key is taken. It is fs.ErrExist, so
// that drivers that import nothing of this module can return it too; compare
// with errors.Is.
var ErrExists = blob.ErrExists

// Index finds the entries of a row. How it stores rows is its own affair: one
// that keys entries by tenant and instant, in an ordered table, needs no rows at
// all. An index is safe for any number of goroutines and processes. Its methods, and
// the methods of the optional interfaces, return soon after their context has ended, with the
// context's error; so does a call whose context has ended before. Keys of entries may be any
// UTF-8 of up to 1 kB. indextest.Run checks every promise made here but durability.
type Index interface {
	// Put adds an entry. Its Time lies within the row's hour: the caller sees to
	// that, and an index may refuse other instants. When the row already has
	// an entry of the same instant, whatever its key, Put changes nothing and
	// returns ErrExists. When Put returns any other error the entry may or may
	// not have been added. When it returns nil, the entry survives a crash of
	// the process, and every Query that starts later finds it with its size and
	// its sum, unless the index does not keep them: then both are unknown.
	// An index in memory, such as MemIndex, loses its entries with the process.
	Put(ctx context.Context, row Row, e Entry) error

	// Query returns all of the row's entries with from ≤ Time < to in
	// ascending order of Time: every page of them, or an error. Bounds beyond
	// the row's hour are allowed, and a query never leaves the row's hour:
	// two rows may have the same Row.Key ("a--5" is hour −5 of tenant "a" and
	// hour 5 of tenant "a-"), so an index that stores entries by Row.Key must
	// cut the bounds to the hour. The slice belongs to the caller.
	Query(ctx context.Context, row Row, from, to int64) ([]Entry, error)
}

// Scanner is an index that can walk over a tenant's rows. Rows without
// entries cost it nothing. A question about many rows uses Scan instead of
// Query.
type Scanner interface {
	// Scan yields the tenant's entries with from ≤ Time < to in ascending
	// order, all that a Query of each row would return. When it yields an
	// error it yields nothing after it.
	Scan(ctx context.Context, tenant string, from, to int64) iter.Seq2[Entry, error]
}

// Committer is an index that holds blobs as well and so can store a blob and
// make it discoverable in one step. When a commit fails that may have taken
// effect, and a later commit finds the instant taken, the key of the entry there
// tells the collector whether it is its own. indextest.RunCommitter checks a committer.
type Committer interface {
	// Commit stores blob under e.Key and adds e, both or neither. It returns
	// nil only when both will survive a crash, unless the collector has
	// bucket.CollectorOptions.Sync: then Sync makes them survive. The instant
	// lies within the row's hour, as in Index.Put. When the instant or the key
	// is taken Commit changes nothing and returns ErrExists. Any other error
	// may have a method Underway() bool, which reports whether the commit may still
	// take effect: package local's has. A collector waits for as long.
	Commit(ctx context.Context, row Row, e Entry, blob []byte) error
}

// Deleter is an index that can remove entries.
type Deleter interface {
	// Delete removes the given entries of a row. An entry is the same when
	// its Time and its Key are: an entry that is not there, or an instant
	// that another key has taken, is left alone and is no error. When Delete
	// returns nil, no Query that starts later finds any of the entries, and
	// their instants are free. When it returns an error, some of them may
	// have been removed; the same call may be made again.
	Delete(ctx context.Context, row Row, entries []Entry) error
}

// TenantLister is an index that can list its tenants.
type TenantLister interface {
	// Tenants yields every tenant that has entries, or places whose Blob is not
	// empty, once each, in no order. A tenant whose entries or places come or go
	// meanwhile may or may not be yielded, and so may one whose places have expired.
	// When it yields an error it yields nothing after it.
	Tenants(ctx context.Context) iter.Seq2[string, error]
}
