package bucket

import (
	"context"

	"github.com/timeblob/timeblob/internal/tracing"
)

// spans are flush, for each attempt to deliver a value, and the steps of the
// attempt by their names in the metrics. A flush begins a trace of its own:
// a tick's value comes from many requests.
const spans = tracing.Scope("bucket")

// Attributes of our own.
const (
	spanKey     = "timeblob.key"     // of the value's blob
	spanAttempt = "timeblob.attempt" // from 1
)

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
