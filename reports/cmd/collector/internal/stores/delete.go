package stores

import (
	"context"
	"fmt"
	"iter"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// Deleter returns a Deleter of the store's values. It removes blobs from the authority and then from the
// caches, and it repeats requests that the store throttles. The error is a *bucket.CannotDeleteError when the
// store cannot delete. The caller must close the returned values before the store.
func (s *Store) Deleter(warn func(format string, args ...any)) (*bucket.Deleter, *tiered.Store[*report.Report], error) {
	from, ok := s.Authority.(deletableTier)
	if !ok {
		return nil, nil, &bucket.CannotDeleteError{What: fmt.Sprintf("the blob store, a %T, cannot delete and list blobs", s.Authority)}
	}
	a := &patience{warn: warn}
	blobs := deletingTier{patientTier{from, a}, from}
	values, err := tiered.New(Blobs, blobs, &tiered.Options[*report.Report]{Memory: -1, Caches: s.Caches})
	if err != nil {
		return nil, nil, err
	}
	entries := s.Index
	if x, ok := s.Index.(wholeIndex); ok {
		entries = deletingIndex{patientWhole{patientIndex{x, a}, x}, s}
	}
	d, err := bucket.NewDeleter(entries, values)
	return d, values, err
}

// deletableTier is a tier that removes and lists blobs.
type deletableTier interface {
	tiered.Tier
	tiered.Deleter
	tiered.Lister
}

// deletingIndex repeats throttled requests, and reads long ranges as the store does.
type deletingIndex struct {
	patientWhole
	store *Store
}

// Entries yields a tenant's entries of any range.
func (x deletingIndex) Entries(ctx context.Context, tenant string, from, to int64) iter.Seq2[index.Entry, error] {
	return x.store.Entries(ctx, tenant, from, to)
}

// deletingTier repeats throttled requests, except listing.
type deletingTier struct {
	patientTier
	from deletableTier
}

func (t deletingTier) Delete(ctx context.Context, keys []string) error {
	return t.patience.wait(ctx, func() error { return t.from.Delete(ctx, keys) })
}

func (t deletingTier) List(ctx context.Context, prefix string, from, to int64) iter.Seq2[string, error] {
	return t.from.List(ctx, prefix, from, to)
}
