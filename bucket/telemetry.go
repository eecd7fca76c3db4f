package bucket

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/metric"
	"github.com/timeblob/timeblob/internal/tracing"
)

// collectorMetrics are what an operator watches of a Collector. Collectors
// that share a registry add up.
type collectorMetrics struct {
	flush                    *prometheus.HistogramVec
	retries, refused, failed prometheus.Counter
	repeated                 prometheus.Counter
	bytes, values, tenantIDs prometheus.Gauge
	limit, oldest            prometheus.Gauge
}

func newCollectorMetrics(reg prometheus.Registerer, namespace string) (*collectorMetrics, error) {
	f := metric.Factory{Registerer: reg, Namespace: namespace}
	return &collectorMetrics{
		flush: f.Histograms("flush_duration_seconds", "Time of each step of flushing a value, by step; status code 500 when it failed.",
			prometheus.DefBuckets, "method", "status_code"),
		retries:   f.Counter("flush_retries_total", "Attempts to flush a value that failed and are repeated."),
		refused:   f.Counter("values_refused_total", "Values refused because too many bytes were pending, of their tenant or of all, or too many tenants in memory."),
		repeated:  f.Counter("values_repeated_total", "Values that were added again within a window, under the same id, and count once."),
		bytes:     f.Gauge("pending_bytes", "Bytes of memory of the values that are not discoverable yet."),
		values:    f.Gauge("pending_values", "Sealed values that are not discoverable yet."),
		tenantIDs: f.Gauge("live_tenants", "Tenants with values in memory."),
		limit:     f.Gauge("pending_limit_bytes", "Bytes that may be pending before values are refused."),
		failed:    f.Counter("values_failed_total", "Values dropped because they can never be stored."),
		oldest:    f.Gauge("pending_oldest_seconds", "How long the oldest sealed value had waited to become discoverable when the last tick ended."),
	}, f.Err
}

// observe notes how long a step took, under the status codes that Scope's
// dashboards know.
func (m *collectorMetrics) observe(step string, err error, took time.Duration) {
	code := "200"
	if err != nil && !errors.Is(err, index.ErrExists) {
		code = "500"
	}
	m.flush.WithLabelValues(step, code).Observe(took.Seconds())
}

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
