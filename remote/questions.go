package remote

import (
	"context"
	"iter"
	"time"

	"github.com/timeblob/timeblob/bucket"
)

// Questions answers questions. A *bucket.Collector, a *bucket.Quantizer and a
// *[Client] do; [Across] makes it of a querier. All of these also have the methods
// of [Presence] and [TenantLister], which a handler serves where they are there.
type Questions[T any] interface {
	RangeMany(ctx context.Context, tenants []string, from, to time.Time, opts *bucket.RangeOptions) (bucket.Answer[T], error)
	Steps(ctx context.Context, tenant string, from, to time.Time, step time.Duration, opts *bucket.RangeOptions) iter.Seq2[bucket.Step[T], error]
	Values(ctx context.Context, tenant string, from, to time.Time, opts *bucket.RangeOptions) iter.Seq2[bucket.Value[T], error]
}

// Presence tells whether there are values.
type Presence interface {
	Has(ctx context.Context, tenant string, from, to time.Time) (bool, error)
}

// TenantLister lists tenants.
type TenantLister interface {
	// Tenants returns ids. With an error they may be some of them.
	Tenants(ctx context.Context) ([]string, error)
}

// Across returns the questions that a querier answers from the index and from
// what sources hold. It calls sources for each question, so that collectors may
// come and go.
func Across[T any](q *bucket.Querier[T], sources func() []bucket.Source[T]) *Everywhere[T] {
	return &Everywhere[T]{q, sources}
}

// Everywhere answers questions for a querier and its sources.
type Everywhere[T any] struct {
	querier *bucket.Querier[T]
	sources func() []bucket.Source[T]
}

// Range is the querier's.
func (e *Everywhere[T]) Range(ctx context.Context, tenant string, from, to time.Time, opts *bucket.RangeOptions) (bucket.Answer[T], error) {
	return e.querier.Range(ctx, tenant, from, to, e.sources(), opts)
}

// RangeMany is the querier's.
func (e *Everywhere[T]) RangeMany(ctx context.Context, tenants []string, from, to time.Time, opts *bucket.RangeOptions) (bucket.Answer[T], error) {
	return e.querier.RangeMany(ctx, tenants, from, to, e.sources(), opts)
}

// Steps is the querier's.
func (e *Everywhere[T]) Steps(ctx context.Context, tenant string, from, to time.Time, step time.Duration, opts *bucket.RangeOptions) iter.Seq2[bucket.Step[T], error] {
	return e.querier.Steps(ctx, tenant, from, to, step, e.sources(), opts)
}

// Values is the querier's.
func (e *Everywhere[T]) Values(ctx context.Context, tenant string, from, to time.Time, opts *bucket.RangeOptions) iter.Seq2[bucket.Value[T], error] {
	return e.querier.Values(ctx, tenant, from, to, e.sources(), opts)
}

// Has is the querier's.
func (e *Everywhere[T]) Has(ctx context.Context, tenant string, from, to time.Time) (bool, error) {
	return e.querier.Has(ctx, tenant, from, to, e.sources())
}

// Tenants is the querier's.
func (e *Everywhere[T]) Tenants(ctx context.Context) ([]string, error) {
	return e.querier.Tenants(ctx, e.sources())
}
