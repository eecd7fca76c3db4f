package reports

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/health"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/reports/shortcuts"
	"github.com/timeblob/timeblob/reports/tenants"
	"github.com/timeblob/timeblob/tiered"
)

// Options tune a Collector. Nil or a zero field means the default.
type Options struct {
	// Live tunes ticks, window and flushing. The package sets its Size,
	// Past.Size and MergeLater. Its Registerer, Namespace, Now, Logger and TracerProvider default
	// to the fields below.
	Live bucket.CollectorOptions[*report.Report]
	// Store holds the caches between memory and authority, and tunes them. The
	// package sets its Size. Its Registerer, Namespace and Now default to the
	// fields below.
	Store tiered.Options[*report.Report]

	// Bus announces shortcuts to other services, and theirs to this one; see
	// package shortcuts. With a bus, tenant ids must be NATS subjects: CheckTenant
	// refuses ids that begin or end with a dot, or hold two dots in a row. Default
	// none.
	Bus shortcuts.Bus
	// ShortcutCache carries the reports that the bus announces: a cache that all
	// services on the bus share, such as memcached. Without it other services are
	// signalled, but do not show what the shortcut says.
	ShortcutCache tiered.Tier

	// MaxTopologyNodes bounds the nodes that a topology of a report may hold, for
	// each host in the report. Larger topologies are dropped from the report and
	// counted. Default 10 000; negative for no limit.
	MaxTopologyNodes int
	// MaxInflated bounds a stored blob when it is inflated, in bytes. A larger
	// merged report can neither be stored nor read. Default 1 GiB.
	MaxInflated int64
	// BlobFormat is how the blobs are compressed that the collector makes: merged
	// reports and roll-ups. A report that is alone in its tick is stored as it was
	// posted, in gzip. Blobs of both formats are read. Default gzip, which Scope
	// reads.
	BlobFormat wire.Format
	// StoreTimeout bounds how long Ask waits for the store when the question is
	// about now. After that the answer is made from memory, and says so. Default
	// 1 s.
	StoreTimeout time.Duration
	// TenantIdle is how long the metrics of a tenant that sends nothing are kept.
	// Default 10 min.
	TenantIdle time.Duration

	// TenantRate bounds the reports a second that a tenant may post, as Admit
	// counts them; the burst is two seconds' worth. Default 1000, which is 3000
	// probes; negative for no limit.
	TenantRate float64
	// JournalDamaged reports whether the journal has lost records of an earlier
	// process. While it does, answers about times before the collector's start may
	// lack reports, and name MissingJournal. It is called for each such question.
	// Default none.
	JournalDamaged func() bool
	// Checks are further conditions of being ready. Default none.
	Checks []health.Check

	// Tenants returns the tenants' own limits, in place of TenantRate and of
	// Live.MaxTenantPending. It is called concurrently, for each report. Default
	// none.
	Tenants func() *tenants.Table

	// Registerer takes the metrics; nil for none. Namespace leads their
	// names; default "scope", as in Scope's own collectors.
	Registerer prometheus.Registerer
	Namespace  string
	// TracerProvider records the spans of flushes; default
	// otel.GetTracerProvider. Spans of questions and reports are recorded by the
	// provider of the span in their context.
	TracerProvider trace.TracerProvider
	// Logger reports failed flushes and failures of bus and cache. Default none.
	Logger *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// withDefaults returns a checked copy with all defaults set.
func (opts *Options) withDefaults() (Options, error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	orDefault(&o.MaxTopologyNodes, 10_000)
	orDefault(&o.MaxInflated, 1<<30)
	orDefault(&o.StoreTimeout, time.Second)
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
	case o.MaxInflated < 0 || o.StoreTimeout < 0:
		return o, errors.New("reports: MaxInflated and StoreTimeout must not be negative")
	}
	o.shareLive()
	shareStore(&o.Store, o.Namespace, o.Registerer, o.Now)
	return o, nil
}

// hub returns the configuration of the collector's hub.
func (o *Options) hub(window time.Duration) shortcuts.Config {
	return shortcuts.Config{Bus: o.Bus, Cache: o.ShortcutCache, Window: window, Check: checkShortcut(o.MaxTopologyNodes),
		Now: o.Now, Registerer: o.Registerer, Namespace: o.Namespace, Logger: o.Logger}
}

// shareLive passes shared options on to the live collector.
func (o *Options) shareLive() {
	o.Live.Size, o.Live.Past.Size = report.Size, report.Size
	o.Live.MergeLater = true // reports that are valid can be merged
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

// shareStore passes shared options on to a store.
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
