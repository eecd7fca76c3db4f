package stores

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/tiered"
)

// Store is where a collector's entries and blobs are.
type Store struct {
	Index     index.Index
	Authority tiered.Tier
	Committer index.Committer // nil where entries and blobs are apart
	Caches    []tiered.Cache  // before the authority
	// entries returns a tenant's entries of any range at little cost.
	Entries func(ctx context.Context, tenant string, from, to int64) iter.Seq2[index.Entry, error]
	// rows returns the rows of tenants, of all without any, that may have
	// entries in [from, to).
	Rows      func(ctx context.Context, tenants []string, from, to int64) ([]index.Row, error)
	Retention time.Duration                               // what is older need not be put; 0 for none
	Backup    func(ctx context.Context, dir string) error // nil but for the embedded store
	Close     func() error
}

// OpenDirectory opens the embedded store in a directory, and makes it where there
// is none.
func OpenDirectory(dir string, opts *local.Options) (*Store, error) {
	db, err := local.Open(dir, opts)
	if err != nil {
		return nil, err
	}
	return &Store{
		Index: db.Index(), Authority: db.Blobs(), Committer: db,
		Entries: db.Entries, Rows: directoryRows(db), Backup: db.Backup, Close: db.Close,
	}, nil
}

// directoryRows returns the rows of an embedded store, all of which have
// entries. It reads the entries, which costs little there.
func directoryRows(db *local.DB) func(ctx context.Context, tenants []string, from, to int64) ([]index.Row, error) {
	return func(ctx context.Context, tenants []string, from, to int64) (rows []index.Row, err error) {
		if len(tenants) == 0 {
			if tenants, err = db.Tenants(ctx); err != nil {
				return nil, err
			}
		}
		for _, tenant := range tenants {
			for e, err := range db.Entries(ctx, tenant, from, to) {
				if err != nil {
					return nil, err
				}
				if row := index.RowAt(tenant, e.Time); len(rows) == 0 || rows[len(rows)-1] != row {
					rows = append(rows, row)
				}
			}
		}
		return rows, nil
	}
}

// Commit stores a blob and makes it discoverable, in this order. When the key
// or the instant is taken it returns index.ErrExists; after any error but
// that one the blob may be stored, and after ErrExists too where entries and
// blobs are apart.
func (s *Store) Commit(ctx context.Context, row index.Row, e index.Entry, blob []byte) error {
	if s.Committer != nil {
		return s.Committer.Commit(ctx, row, e, blob)
	}
	if err := s.Authority.Put(ctx, e.Key, blob); err != nil {
		return err
	}
	if err := s.Index.Put(ctx, row, e); err != nil {
		return err
	}
	for _, c := range s.Caches {
		_ = c.Tier.Put(ctx, e.Key, blob) // a cache's fault is counted by the cache
	}
	return nil
}

// openExisting opens the embedded store in a directory that must hold one.
func openExisting(dir string, opts *local.Options) (*Store, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, &fs.PathError{Op: "open store", Path: dir, Err: fmt.Errorf("the directory is empty")}
	}
	return OpenDirectory(dir, opts)
}

// maxBlob is how long a stored report may be, inflated, in bytes.
const maxBlob = 1 << 30

// Outlived tells whether an instant is older than the store keeps entries.
func (s *Store) Outlived(t int64) bool {
	return s.Retention > 0 && time.Since(time.Unix(0, t)) > s.Retention
}

// Blobs is the codec of stored reports. It takes what is larger than any
// report that is received: the merge of many is one blob.
var Blobs = wire.Codec{MaxBytes: maxBlob}
