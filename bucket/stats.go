package bucket

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/bucket/internal/plan"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/metric"
	"github.com/timeblob/timeblob/internal/tracing"
)

// Stats are figures of a Collector at one moment.
type Stats struct {
	Tenants      int           // with values in memory
	Values       int           // sealed and not known to be discoverable
	Bytes        int64         // of memory: of those values and of the open ticks
	MaxBytes     int64         // how many may be pending before Add refuses
	OldestSealed time.Duration // how long the oldest of Values has waited
	Past         PastStats     // what questions have read
}

// PastStats count what questions have read and merged since the Quantizer was made.
// Its fields are
//
//	Entries int64 // read from the index
//	Blobs   int64 // asked of the blob store
//	Merges  int64 // calls of the merge function
//	Looked  int64 // merges looked up in the cache of merges
//	Found   int64 // merges found there
type PastStats = plan.Stats

// Stats returns figures of the quantizer.
func (q *Quantizer[T]) Stats() PastStats { return q.past.Stats() }

// Stats returns figures of the collector.
func (c *Collector[T]) Stats() Stats {
	return Stats{Tenants: c.tenants.count(), Values: len(c.outbox.Values()), Bytes: c.budget.bytes.Load(),
		MaxBytes: c.opts.MaxPending, OldestSealed: c.outbox.Oldest(), Past: c.past.Stats()}
}

// Share is one tenant's part of what a Collector has in memory.
type Share struct {
	Ticks  int   // of the live window, the open one included, in which values came
	Values int   // sealed and not known to be discoverable
	Bytes  int64 // of memory: of those values and of the open tick
}

// Share returns a tenant's part of what the collector has in memory, which is
// nothing for a tenant that it does not know. It merges nothing, but waits
// while another goroutine merges a value of the tenant. The error is the context's.
func (c *Collector[T]) Share(ctx context.Context, tenant string) (Share, error) {
	t := c.tenants.lookup(tenant)
	if t == nil {
		return Share{}, nil
	}
	return t.share(ctx)
}

// Waiting returns the entries, ascending, that a tenant's sealed values will
// have once they are discoverable, unless one finds its instant taken. An entry
// that has just become discoverable may still be among them. Waiting waits as Share
// does. The error is the context's.
func (c *Collector[T]) Waiting(ctx context.Context, tenant string) ([]index.Entry, error) {
	t := c.tenants.lookup(tenant)
	if t == nil {
		return nil, nil
	}
	entries, err := t.waiting(ctx)
	slices.SortFunc(entries, func(a, b index.Entry) int { return cmp.Compare(a.Time, b.Time) })
	return entries, err
}

// Window returns how far back a question of At reaches.
func (c *Collector[T]) Window() time.Duration { return c.opts.Window }

// Ticked reports whether a tick has ended: Run, or Flush, has sealed what came
// before. Until then nothing shows that Run runs.
func (c *Collector[T]) Ticked() bool { return c.ticked.Load() }

// Full returns the error with which Add would refuse any value of the tenant, a
// *FullError or a *TenantLimitError; nil when it might take one. It costs next
// to nothing.
func (c *Collector[T]) Full(tenant string) error {
	t := c.tenants.lookup(tenant)
	if err := c.budget.check(t.accounts(), 1, c.opts.tenantLimit(tenant)); err != nil || t != nil {
		return err
	}
	return c.tenants.room(tenant)
}

// LiveTenants returns the ids, sorted, of the tenants whose values the collector
// holds in memory: values that came within the window, or that are not yet
// discoverable.
func (c *Collector[T]) LiveTenants() []string { return c.tenants.ids() }

// HeldTenants is LiveTenants. It makes the collector a TenantSource.
func (c *Collector[T]) HeldTenants(ctx context.Context) ([]string, error) {
	return c.LiveTenants(), ctx.Err()
}

// Tenants returns the ids, sorted, of the tenants that have values in the index
// or in memory. It lists the index as [Quantizer.Tenants] does; use LiveTenants
// for an index that cannot list.
func (c *Collector[T]) Tenants(ctx context.Context) ([]string, error) {
	live := c.LiveTenants()
	stored, err := c.past.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	return union(live, stored), nil
}

// LevelSpans count the spans of one level of a tenant.
type LevelSpans struct {
	Level   time.Duration
	Sealed  int   // spans that have a roll-up
	Final   int   // of them those whose entries, or lower roll-ups, retention removes
	Void    int   // spans whose roll-up is not kept
	Busy    int   // spans that are held for a late value, or claimed by a builder
	Entries int   // merged in the roll-ups
	Bytes   int64 // of the roll-ups' blobs

	First time.Time // when the first span with a roll-up begins; zero where there is none
}

// LevelSpans counts a tenant's spans that start in [from, to), of each level,
// the shortest first. It asks the index once a level and reads no blob. The
// result is empty where levels are off.
func (q *Quantizer[T]) LevelSpans(ctx context.Context, tenant string, from, to time.Time) ([]LevelSpans, error) {
	start, end, err := spanOf(tenant, from, to)
	if err != nil || q.protocol == nil {
		return nil, err
	}
	s, err := q.protocol.Settings(ctx)
	if errors.Is(err, levels.ErrOff) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := make([]LevelSpans, len(s.Spans))
	for i, level := range s.Spans {
		places, err := q.protocol.Places(ctx, tenant, level, start, end)
		if err != nil {
			return nil, err
		}
		all[i].Level = level
		for _, p := range places {
			all[i].count(p)
			if s.Final(&p, q.protocol.Time()) {
				all[i].Final++
			}
		}
	}
	return all, nil
}

// count counts a place in.
func (l *LevelSpans) count(p levels.Place) {
	switch p.Kind {
	case levels.Sealed:
		if l.Sealed++; l.Sealed == 1 {
			l.First = time.Unix(0, p.Start)
		}
		l.Entries += p.Seal.Entries
		l.Bytes += p.Seal.Size
	case levels.Void:
		l.Void++
	case levels.Hold, levels.Claimed:
		l.Busy++
	}
}

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
