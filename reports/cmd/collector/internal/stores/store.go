package stores

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/tiered"
)

// Store holds a collector's entries and blobs.
type Store struct {
	Blobs     wire.Codec // of stored reports
	Index     index.Index
	Writer    *bucket.Writer // of the index
	Authority tiered.Tier
	Committer index.Committer // nil where entries and blobs are separate
	Caches    []tiered.Cache  // in front of the authority
	// entries returns a tenant's entries of any range at low cost.
	Entries func(ctx context.Context, tenant string, from, to int64) iter.Seq2[index.Entry, error]
	// rows returns the rows of the given tenants, or of all tenants, that may have entries in [from, to).
	Rows      func(ctx context.Context, tenants []string, from, to int64) ([]index.Row, error)
	Retention time.Duration                                                // older values need not be stored; 0 for no limit
	Backup    func(ctx context.Context, dir string) error                  // for the embedded store only; else nil
	Sync      func(ctx context.Context) error                              // of an embedded store with Options.NoLog; else nil
	Rely      func(local.Journal) error                                    // of the embedded store; else nil
	Took      func(journal string, last uint64) (before uint64, err error) // of the embedded store; else nil
	Close     func() error
}

// OpenDirectory opens the embedded store in a directory, and creates it if there is none.
func OpenDirectory(dir string, opts *local.Options) (*Store, error) {
	db, err := local.Open(dir, opts)
	if err != nil {
		return nil, err
	}
	s := &Store{
		Blobs: Blobs, Index: db.Index(), Writer: bucket.NewWriter(db.Index()), Authority: db.Blobs(), Committer: db,
		Entries: db.Entries, Rows: directoryRows(db), Backup: db.Backup, Rely: db.Rely, Took: db.Took, Close: db.Close,
	}
	if opts != nil && opts.NoLog {
		s.Sync = db.Sync
	}
	return s, nil
}

// directoryRows returns the rows of an embedded store that have entries. It reads all entries, which is cheap
// there.
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

// Put adds an entry to the index, as its levels require.
func (s *Store) Put(ctx context.Context, row index.Row, e index.Entry) error {
	return s.Writer.Put(ctx, row, e)
}

// Commit stores a blob and then its entry. When the key or the instant is in use it returns index.ErrExists.
// After another error, the blob may be stored. After ErrExists it may be stored as well where entries and
// blobs are separate.
func (s *Store) Commit(ctx context.Context, row index.Row, e index.Entry, blob []byte) error {
	if s.Committer != nil {
		return s.Writer.Commit(ctx, s.Committer, row, e, blob)
	}
	if err := s.Authority.Put(ctx, e.Key, blob); err != nil {
		return err
	}
	if err := s.Put(ctx, row, e); err != nil {
		return err
	}
	for _, c := range s.Caches {
		_ = c.Tier.Put(ctx, e.Key, blob) // the cache counts its own failures
	}
	return nil
}

// ErrDamaged says that the bytes of a blob do not have the sum that its entry holds.
var ErrDamaged = errors.New("the blob is damaged: its bytes do not have the sum that the index holds")

// Check returns ErrDamaged when an entry has a sum that is not the sum of its blob.
func Check(e index.Entry, encoded []byte) error {
	if e.Sum.Known() && e.Sum != blob.SumOf(encoded) {
		return ErrDamaged
	}
	return nil
}

// openExisting opens the embedded store in a directory that must hold one already.
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

// maxBlob is the largest decompressed size of a stored report, in bytes.
const maxBlob = 1 << 30

// Outlived reports whether an instant is older than the store's retention.
func (s *Store) Outlived(t int64) bool {
	return s.Retention > 0 && time.Since(time.Unix(0, t)) > s.Retention
}

// Blobs is the codec of stored reports, in Scope's format. Its limit is above the size of any received report, because one blob
// holds the merge of many.
var Blobs = wire.Codec{MaxBytes: maxBlob}

// Options say how to open a store.
type Options struct {
	Logger       *slog.Logger
	Metrics      prometheus.Registerer // nil for none
	Retention    time.Duration         // 0 for the place's own
	RollUpsFirst bool                  // roll-ups outlive reports
	Existing     bool                  // the directory must hold a store already
	NoLog        bool                  // an embedded store leaves its log out: the caller keeps a journal and calls Store.Sync
	Instead      string                // what to do when a running collector uses the directory
}
