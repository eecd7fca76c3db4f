package faulttest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/timeblob/timeblob/index"
)

// Index is an index.Index that does what faults say.
type Index struct {
	*Faults
	index index.Index
}

var _ index.Index = (*Index)(nil)

// NewIndex returns an index that does what idx does until a fault is injected.
// The seed makes Chance repeatable.
func NewIndex(idx index.Index, seed uint64) *Index { return &Index{newFaults(seed), idx} }

// Put implements index.Index.
func (x *Index) Put(ctx context.Context, row index.Row, e index.Entry) error {
	rule := x.choose(Call{Op: Put, Row: row, Entry: e}, nil)
	return rule.do(ctx, func(ctx context.Context) error { return x.index.Put(ctx, row, e) })
}

// Query implements index.Index.
func (x *Index) Query(ctx context.Context, row index.Row, from, to int64) (found []index.Entry, err error) {
	rule := x.choose(Call{Op: Query, Row: row}, nil)
	err = rule.do(ctx, func(ctx context.Context) (err error) {
		found, err = x.index.Query(ctx, row, from, to)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Whole is an index with every optional interface that Levels wraps.
type Whole interface {
	index.Index
	index.Deleter
	index.Places
}

// Levels is an Index that deletes and has places as well.
type Levels struct {
	Index
	whole Whole
}

var _ Whole = (*Levels)(nil)

// NewLevels is NewIndex for an index that deletes and has places.
func NewLevels(idx Whole, seed uint64) *Levels { return &Levels{Index{newFaults(seed), idx}, idx} }

// Delete implements index.Deleter.
func (x *Levels) Delete(ctx context.Context, row index.Row, entries []index.Entry) error {
	rule := x.choose(Call{Op: Delete, Row: row}, nil)
	return rule.do(ctx, func(ctx context.Context) error { return x.whole.Delete(ctx, row, entries) })
}

// Places implements index.Places.
func (x *Levels) Places(ctx context.Context, set index.PlaceSet, from, to int64) (found []index.Place, err error) {
	rule := x.choose(Call{Op: Places, Row: index.Row{Tenant: set.Tenant}}, nil)
	err = rule.do(ctx, func(ctx context.Context) (err error) {
		found, err = x.whole.Places(ctx, set, from, to)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// SwapPlace implements index.Places. A Lie reports a swap as done.
func (x *Levels) SwapPlace(ctx context.Context, set index.PlaceSet, old string, next index.Place) (bool, error) {
	rule := x.choose(Call{Op: Swap, Row: index.Row{Tenant: set.Tenant}}, nil)
	var lost atomic.Bool // which may be set after the answer
	err := rule.do(ctx, func(ctx context.Context) error {
		swapped, err := x.whole.SwapPlace(ctx, set, old, next)
		lost.Store(!swapped)
		return err
	})
	return !lost.Load() && err == nil, err
}

// StoreTime implements index.Places.
func (x *Levels) StoreTime() time.Time { return x.whole.StoreTime() }
