package main

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/tiered"
)

// store is where a collector's entries and blobs are.
type store struct {
	index     index.Index
	authority tiered.Tier
	committer index.Committer // nil where entries and blobs are apart
	caches    []tiered.Cache  // before the authority
	// entries returns a tenant's entries of any range at little cost.
	entries func(ctx context.Context, tenant string, from, to int64) iter.Seq2[index.Entry, error]
	// rows returns the rows of tenants, of all without any, that may have
	// entries in [from, to).
	rows      func(ctx context.Context, tenants []string, from, to int64) ([]index.Row, error)
	retention time.Duration // what is older need not be put; 0 for none
	close     func() error
}

// openStore opens the embedded store in a directory, and makes it where there
// is none.
func openStore(dir string, opts *local.Options) (*store, error) {
	db, err := local.Open(dir, opts)
	if err != nil {
		return nil, err
	}
	return &store{
		index: db.Index(), authority: db.Blobs(), committer: db,
		entries: db.Entries, rows: directoryRows(db), close: db.Close,
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

// commit stores a blob and makes it discoverable, in this order. When the key
// or the instant is taken it returns index.ErrExists; after any error but
// that one the blob may be stored, and after ErrExists too where entries and
// blobs are apart.
func (s *store) commit(ctx context.Context, row index.Row, e index.Entry, blob []byte) error {
	if s.committer != nil {
		return s.committer.Commit(ctx, row, e, blob)
	}
	if err := s.authority.Put(ctx, e.Key, blob); err != nil {
		return err
	}
	if err := s.index.Put(ctx, row, e); err != nil {
		return err
	}
	for _, c := range s.caches {
		_ = c.Tier.Put(ctx, e.Key, blob) // a cache's fault is counted by the cache
	}
	return nil
}

// openExisting opens the embedded store in a directory that must hold one.
func openExisting(dir string, opts *local.Options) (*store, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, &fs.PathError{Op: "open store", Path: dir, Err: fmt.Errorf("the directory is empty")}
	}
	return openStore(dir, opts)
}

// maxBlob is how long a stored report may be, inflated, in bytes.
const maxBlob = 1 << 30

// outlived tells whether an instant is older than the store keeps entries.
func (s *store) outlived(t int64) bool {
	return s.retention > 0 && time.Since(time.Unix(0, t)) > s.retention
}

// blobs is the codec of stored reports. It takes what is larger than any
// report that is received: the merge of many is one blob.
var blobs = wire.Codec{MaxBytes: maxBlob}

// upgrading decodes stored reports and brings them to the form of today.
type upgrading struct{ wire.Codec }

func (c upgrading) Decode(blob []byte) (*report.Report, error) {
	r, err := c.Codec.Decode(blob)
	if err != nil {
		return nil, err
	}
	return report.Upgrade(r)
}

// A reader reads the values of the store in runs of at most that many, in
// which no two neighbours are further apart than maxGap: a question about years
// costs what was stored in them, and not one look for each of their hours.
const (
	maxRun = 256
	maxGap = int64(time.Hour)
)

// read returns the merge of a tenant's values in [from, to), and how many they
// are. It holds the merge and no more than one run in memory.
func (s *store) read(ctx context.Context, tenant string, from, to time.Time) (*report.Report, int, error) {
	values, past, err := s.past()
	if err != nil {
		return nil, 0, err
	}
	defer values.Close(ctx) // what has not reached a cache then the authority has
	r := reader{past: past, tenant: tenant}
	for e, err := range s.entries(ctx, tenant, from.UnixNano(), to.UnixNano()) {
		if err != nil {
			return nil, 0, err
		}
		if err := r.take(ctx, e.Time); err != nil {
			return nil, 0, err
		}
	}
	if err := r.merge(ctx); err != nil {
		return nil, 0, err
	}
	merged, err := r.sum.total()
	return merged, r.count, err
}

// reader merges stored values, run by run.
type reader struct {
	past        *bucket.Quantizer[*report.Report]
	tenant      string
	sum         sum
	count       int   // values met
	first, last int64 // the instants of the run that was begun
	run         int   // its values
}

// take adds an instant to the run, and merges the one before where it cannot.
func (r *reader) take(ctx context.Context, t int64) error {
	if r.run == maxRun || r.run > 0 && t-r.last > maxGap {
		if err := r.merge(ctx); err != nil {
			return err
		}
	}
	if r.run == 0 {
		r.first = t
	}
	r.last = t
	r.run++
	r.count++
	return nil
}

// merge adds the run to the sum.
func (r *reader) merge(ctx context.Context) error {
	if r.run == 0 {
		return nil
	}
	r.run = 0
	part, err := r.past.Range(ctx, r.tenant, time.Unix(0, r.first), time.Unix(0, r.last+1))
	if err != nil {
		return err
	}
	return r.sum.add(part)
}

// past returns what answers questions about the store, and the values beneath
// it, which are to be closed. It keeps nothing, since a process asks once.
func (s *store) past() (*tiered.Store[*report.Report], *bucket.Quantizer[*report.Report], error) {
	values, err := tiered.New(upgrading{blobs}, s.authority, &tiered.Options[*report.Report]{Memory: -1, Caches: s.caches})
	if err != nil {
		return nil, nil, err
	}
	past, err := bucket.NewQuantizer(s.index, values, report.Merge,
		&bucket.QuantizerOptions[*report.Report]{CacheBytes: -1, Size: report.Size})
	return values, past, err
}
