package remote

import (
	"context"
	"iter"
	"time"

	"github.com/timeblob/timeblob/bucket"
)

// Questions answers questions. A *bucket.Collector, a *bucket.Quantizer and a
// *[Client] do; [Across] makes it of a querier.
type Questions[T any] interface {
	Range(ctx context.Context, tenant string, from, to time.Time, opts *bucket.RangeOptions) (bucket.Answer[T], error)
	Steps(ctx context.Context, tenant string, from, to time.Time, step time.Duration, opts *bucket.RangeOptions) iter.Seq2[bucket.Step[T], error]
	Values(ctx context.Context, tenant string, from, to time.Time, opts *bucket.RangeOptions) iter.Seq2[bucket.Value[T], error]
}

// Across returns the questions that a querier answers from the index and from
// what sources hold. It calls sources for each question, so that collectors may
// come and go.
func Across[T any](q *bucket.Querier[T], sources func() []bucket.Source[T]) Questions[T] {
	return across[T]{q, sources}
}

type across[T any] struct {
	querier *bucket.Querier[T]
	sources func() []bucket.Source[T]
}

func (a across[T]) Range(ctx context.Context, tenant string, from, to time.Time, opts *bucket.RangeOptions) (bucket.Answer[T], error) {
	return a.querier.Range(ctx, tenant, from, to, a.sources(), opts)
}

func (a across[T]) Steps(ctx context.Context, tenant string, from, to time.Time, step time.Duration, opts *bucket.RangeOptions) iter.Seq2[bucket.Step[T], error] {
	return a.querier.Steps(ctx, tenant, from, to, step, a.sources(), opts)
}

func (a across[T]) Values(ctx context.Context, tenant string, from, to time.Time, opts *bucket.RangeOptions) iter.Seq2[bucket.Value[T], error] {
	return a.querier.Values(ctx, tenant, from, to, a.sources(), opts)
}
