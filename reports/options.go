package reports

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/tenants"
	"github.com/timeblob/timeblob/tiered"
)

// Options tune a Collector; nil or a zero field means the default.
type Options struct {
	// Live tunes ticks, window and flushing. Its Size and Past.Size are the
	// package's own. Where its Registerer, Namespace, Now, Logger or
	// TracerProvider are not set, those below are used.
	Live bucket.CollectorOptions[*report.Report]
	// Store holds the caches between memory and authority, and tunes them.
	// Its Size is the package's own. Where its Registerer, Namespace or Now
	// are not set, those below are used.
	Store tiered.Options[*report.Report]

	// Bus tells other services of shortcuts, and this one of theirs; nil: they
	// stay where they came. With it the ids of tenants must be subjects of
	// NATS: ids that begin or end with a dot, or hold two in a row, are refused.
	Bus Bus
	// ShortcutCache carries the reports whose keys the bus tells: a cache that
	// all services on the bus share, as memcached. Nil: others are signalled,
	// but do not show what the shortcut says.
	ShortcutCache tiered.Tier

	// MaxTopologyNodes is how many nodes, for each host in a report, one of
	// its topologies may hold; topologies with more are dropped from it and
	// counted. Default 10 000, negative for no limit.
	MaxTopologyNodes int
	// MaxInflated bounds a stored blob when it is inflated, in bytes. A merged
	// report that is larger cannot be stored, nor one be read. Default 1 GiB.
	MaxInflated int64
	// TenantIdle is how long the metrics of a tenant that sends nothing stay.
	// Default 10 min.
	TenantIdle time.Duration

	// TenantRate is how many reports a second a tenant may post to a Handler,
	// and twice as many at once. Default 1000, which are 3000 probes; negative
	// for no limit.
	TenantRate float64
	// Tenants returns what tenants have in place of TenantRate and of
	// Live.MaxTenantPending. It is called for each report, by many goroutines
	// at a time. Default none.
	Tenants func() *tenants.Table

	// Registerer takes the metrics; nil for none. Namespace leads their
	// names; default "scope", as in Scope's own collectors.
	Registerer prometheus.Registerer
	Namespace  string
	// TracerProvider records the spans of flushes; default
	// otel.GetTracerProvider. Those of questions and reports are recorded where
	// that is which their context holds.
	TracerProvider trace.TracerProvider
	// Logger is told of failed flushes, and of shortcuts that do not get
	// through. Default none.
	Logger *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// withDefaults returns a checked copy with every field of our own set.
func (opts *Options) withDefaults() (Options, error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	orDefault(&o.MaxTopologyNodes, 10_000)
	orDefault(&o.MaxInflated, 1<<30)
	orDefault(&o.TenantIdle, 10*time.Minute)
	orDefault(&o.TenantRate, 1000)
	orDefault(&o.Namespace, "scope")
	orDefault(&o.Logger, slog.New(slog.DiscardHandler))
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tenants == nil {
		o.Tenants = func() *tenants.Table { return nil }
	}
	switch {
	case o.TenantIdle < 0:
		return o, fmt.Errorf("reports: TenantIdle %v must not be negative", o.TenantIdle)
	case o.MaxInflated < 0:
		return o, errors.New("reports: MaxInflated must not be negative")
	}
	o.shareLive()
	shareStore(&o.Store, o.Namespace, o.Registerer, o.Now)
	return o, nil
}

// hub returns what a hub needs of options that are complete.
func (o *Options) hub(window time.Duration) hubConfig {
	return hubConfig{bus: o.Bus, cache: o.ShortcutCache, window: window, maxNodes: o.MaxTopologyNodes, now: o.Now,
		registerer: o.Registerer, namespace: o.Namespace, logger: o.Logger}
}

// shareLive gives the live collector what it was not given of its own.
func (o *Options) shareLive() {
	o.Live.Size, o.Live.Past.Size = report.Size, report.Size
	orDefault(&o.Live.Namespace, o.Namespace)
	orDefault(&o.Live.Logger, o.Logger)
	if o.Live.TracerProvider == nil {
		o.Live.TracerProvider = o.TracerProvider
	}
	if o.Live.Registerer == nil {
		o.Live.Registerer = o.Registerer
	}
	if o.Live.Now == nil {
		o.Live.Now = o.Now
	}
	if o.Live.MaxPendingOf == nil {
		o.Live.MaxPendingOf = func(tenant string) int64 { return o.Tenants().Limits(tenant).Pending }
	}
}

// rate returns how many reports a second a tenant may post.
func (o *Options) rate(tenant string) float64 {
	if own := o.Tenants().Limits(tenant).Rate; own > 0 {
		return own
	}
	return o.TenantRate
}

// shareStore gives a store what it was not given of its own.
func shareStore(o *tiered.Options[*report.Report], namespace string, reg prometheus.Registerer, now func() time.Time) {
	o.Size = report.Size
	orDefault(&o.Namespace, namespace)
	if o.Registerer == nil {
		o.Registerer = reg
	}
	if o.Now == nil {
		o.Now = now
	}
}

func orDefault[V comparable](field *V, value V) {
	var zero V
	if *field == zero {
		*field = value
	}
}
