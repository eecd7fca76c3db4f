package main

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// store is where a collector's entries and blobs are.
type store struct {
	index     bucket.Index
	authority tiered.Tier
	committer bucket.Committer
	// entries returns a tenant's entries of any range at little cost.
	entries func(ctx context.Context, tenant string, from, to int64) iter.Seq2[bucket.Entry, error]
	close   func() error
}

// openStore opens the embedded store in a directory, and makes it where there
// is none.
func openStore(dir string, opts *local.Options) (*store, error) {
	db, err := local.Open(dir, opts)
	if err != nil {
		return nil, err
	}
	return &store{index: db.Index(), authority: db.Blobs(), committer: db, entries: db.Entries, close: db.Close}, nil
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

// blobs is the codec of stored reports. It takes what is larger than any
// report that is received: the merge of many is one blob.
var blobs = report.Codec{MaxBytes: maxBlob}

// upgrading decodes stored reports and brings them to the form of today.
type upgrading struct{ report.Codec }

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
	past, err := s.past()
	if err != nil {
		return nil, 0, err
	}
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

// past returns what answers questions about the store. It keeps nothing, since
// a process asks once.
func (s *store) past() (*bucket.Quantizer[*report.Report], error) {
	values, err := tiered.New(upgrading{blobs}, s.authority, &tiered.Options[*report.Report]{Memory: -1})
	if err != nil {
		return nil, err
	}
	return bucket.NewQuantizer(s.index, values, report.Merge,
		&bucket.QuantizerOptions[*report.Report]{CacheBytes: -1, Size: report.Size})
}
