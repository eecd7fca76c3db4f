package stores

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/pause"
	"github.com/timeblob/timeblob/tiered"
)

// These are the delays before work asks a store again that throttled it.
const (
	firstPause = 500 * time.Millisecond
	lastPause  = 30 * time.Second
)

// Patient returns a store that repeats throttled requests until their context ends, so that long work runs as
// fast as the store allows. It calls warn at the first throttled request, and not again.
func (s *Store) Patient(warn func(format string, args ...any)) *Store {
	if s.Committer != nil {
		return s // directories do not throttle
	}
	patient, a := *s, &patience{warn: warn}
	patient.Authority = patientTier{s.Authority, a}
	if x, ok := s.Index.(wholeIndex); ok {
		patient.Index = patientWhole{patientIndex{x, a}, x}
	} else {
		patient.Index = patientIndex{s.Index, a}
	}
	patient.Writer = bucket.NewWriter(patient.Index)
	return &patient
}

// patience repeats requests that a store throttles.
type patience struct {
	warn func(format string, args ...any)
	said sync.Once
}

// wait calls ask until it is not throttled or the context ends.
func (a *patience) wait(ctx context.Context, ask func() error) error {
	for delay := firstPause; ; delay = min(2*delay, lastPause) {
		err := ask()
		if !throttled(err) {
			return err
		}
		a.said.Do(func() { a.warn("warning: the store throttles requests, so this takes longer: %v", err) })
		if err := pause.For(ctx, delay/2+rand.N(delay/2)); err != nil {
			return err
		}
	}
}

// throttled reports whether a service asks its client to slow down.
func throttled(err error) bool {
	return retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary
}

type patientIndex struct {
	index.Index
	patience *patience
}

func (x patientIndex) Put(ctx context.Context, row index.Row, e index.Entry) error {
	return x.patience.wait(ctx, func() error { return x.Index.Put(ctx, row, e) })
}

func (x patientIndex) Query(ctx context.Context, row index.Row, from, to int64) (entries []index.Entry, err error) {
	err = x.patience.wait(ctx, func() (err error) {
		entries, err = x.Index.Query(ctx, row, from, to)
		return err
	})
	return entries, err
}

// wholeIndex is an index that removes entries and has places.
type wholeIndex interface {
	index.Index
	index.Deleter
	index.Places
	index.TenantLister
}

// patientWhole is a patient index of a table: it deletes and has places.
type patientWhole struct {
	patientIndex
	whole wholeIndex
}

func (x patientWhole) Delete(ctx context.Context, row index.Row, entries []index.Entry) error {
	return x.patience.wait(ctx, func() error { return x.whole.Delete(ctx, row, entries) })
}

func (x patientWhole) Places(ctx context.Context, set index.PlaceSet, from, to int64) (found []index.Place, err error) {
	err = x.patience.wait(ctx, func() (err error) {
		found, err = x.whole.Places(ctx, set, from, to)
		return err
	})
	return found, err
}

func (x patientWhole) SwapPlace(ctx context.Context, set index.PlaceSet, old string, next index.Place) (swapped bool, err error) {
	err = x.patience.wait(ctx, func() (err error) {
		swapped, err = x.whole.SwapPlace(ctx, set, old, next)
		return err
	})
	return swapped, err
}

func (x patientWhole) StoreTime() time.Time { return x.whole.StoreTime() }

type patientTier struct {
	tiered.Tier
	patience *patience
}

func (t patientTier) Get(ctx context.Context, keys []string) (found [][]byte, err error) {
	err = t.patience.wait(ctx, func() (err error) {
		found, err = t.Tier.Get(ctx, keys)
		return err
	})
	return found, err
}

func (t patientTier) Put(ctx context.Context, key string, blob []byte) error {
	return t.patience.wait(ctx, func() error { return t.Tier.Put(ctx, key, blob) })
}
