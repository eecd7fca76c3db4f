package bucket

import (
	"context"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/internal/tracing"
)

// spans are, of a question, plan or has, which read the index; merge; and fetch,
// of what no other question fetches. Of each attempt to deliver a value they are
// flush, which begins a trace of its own, since a tick's value is of many
// requests, and the steps of the attempt by their names in the metrics.
const spans = tracing.Scope("bucket")

// Attributes of our own.
const (
	spanEntries  = "timeblob.entries"
	spanSegments = "timeblob.segments" // quanta, and edges of the range
	spanKey      = "timeblob.key"      // of the value's blob
	spanAttempt  = "timeblob.attempt"  // from 1
)

// traceGet reads the blobs of some segments in a span.
func (q *Quantizer[T]) traceGet(ctx context.Context, refs []blob.Ref, segments int) (map[string]T, error) {
	ctx, fetching := spans.Child(ctx, "fetch")
	fetching.Int(tracing.Keys, len(refs))
	fetching.Int(spanSegments, segments)
	results, err := q.blobs.Get(ctx, refs)
	values := make(map[string]T, len(results))
	for i, r := range results {
		if r.Found {
			values[refs[i].Key] = r.Value
		}
	}
	fetching.Int(tracing.Found, len(values))
	fetching.End(err)
	return values, err
}

// traceFlush is deliver in a span. attempt counts from 1.
func (c *Collector[T]) traceFlush(ctx context.Context, p *pending[T], attempt int) error {
	ctx, flushing := spans.Root(ctx, c.opts.TracerProvider, "flush")
	err := c.deliver(ctx, p)
	flushing.Text(tracing.Tenant, p.owner.id)
	flushing.Text(spanKey, p.entry.Key)
	flushing.Int(spanAttempt, attempt)
	flushing.Int(tracing.Bytes, len(p.blob))
	flushing.End(err)
	return err
}

// traceStep runs a step of a flush in a span.
func traceStep(ctx context.Context, step string, f func(context.Context) error) error {
	ctx, stepping := spans.Child(ctx, step)
	err := f(ctx)
	stepping.End(err)
	return err
}
