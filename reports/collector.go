package reports

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/health"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/reports/shortcuts"
	"github.com/timeblob/timeblob/reports/tenants"
	"github.com/timeblob/timeblob/tiered"
)

// Collector accepts reports of many tenants, stores them merged by tenant and
// tick, and answers questions about the live window and any past one. The
// reports that it accepts or returns are shared: nobody may change them. It is
// safe for concurrent use.
//
// Tenant ids must have passed CheckTenant. Questions and regular reports of
// other ids fail with an *index.TenantError.
type Collector struct {
	Archive
	live     *bucket.Collector[*report.Report]
	hub      *shortcuts.Hub
	metrics  *metrics
	rates    *rates
	tenants  func() *tenants.Table
	maxNodes int
	log      *slog.Logger
	closed   atomic.Bool // Close was called

	storeTimeout time.Duration
	clock        *setClock
	started      time.Time
	lossy        func() bool // the journal has lost records from before started
}

// New returns a collector over an index and the tier that holds every blob. It
// does nothing by itself: call Run to store reports, and Close at the end.
func New(idx index.Index, authority tiered.Tier, opts *Options) (*Collector, error) {
	if idx == nil || authority == nil {
		return nil, errors.New("reports: a collector needs an index and an authority tier")
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registerer, o.Namespace, o.TenantIdle, o.Now)
	if err != nil {
		return nil, err
	}
	store, err := tiered.New(wire.Upgrading{Codec: wire.Codec{MaxBytes: o.MaxInflated, Format: o.BlobFormat}}, authority, &o.Store)
	if err != nil {
		return nil, err
	}
	o.Live.Stored = m.countStored(o.Live.Stored)
	live, err := bucket.NewCollector(idx, store, m.merge, &o.Live)
	if err != nil {
		return nil, err
	}
	hub, err := shortcuts.New(o.hub(live.Window()))
	if err != nil {
		return nil, err
	}
	past := Archive{store: store, entries: live.Entries, window: live.Window(), now: o.Now,
		stores: append(health.StoreChecks(idx, authority, o.Store.Caches), o.Checks...)}
	return &Collector{Archive: past, live: live, hub: hub, metrics: m, rates: newRates(o.rate, o.Now),
		tenants: o.Tenants, maxNodes: o.MaxTopologyNodes, log: o.Logger, storeTimeout: o.StoreTimeout,
		clock: newSetClock(o.Now, live.Window(), o.Logger), started: o.Now(), lossy: o.JournalDamaged}, nil
}

// Shortcuts returns the hub of the collector's shortcuts, where clients wait.
func (c *Collector) Shortcuts() *shortcuts.Hub { return c.hub }

// CheckTenant returns an *index.TenantError for a tenant id that the collector
// does not accept; see [shortcuts.Hub.CheckTenant].
func (c *Collector) CheckTenant(tenant string) error { return c.hub.CheckTenant(tenant) }

// Checks returns the conditions of being ready: the stores are reachable, and
// the first tick has ended.
func (c *Collector) Checks() []health.Check {
	tick := health.Check{Name: "first tick", Run: func(context.Context) error {
		if !c.live.Ticked() {
			return health.Unready("has not ended yet")
		}
		return nil
	}}
	return append(slices.Clone(c.stores), tick)
}

// Run stores the reports, tick by tick, until ctx ends or the collector is
// closed; see [bucket.Collector.Run]. Call it once.
func (c *Collector) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error {
		defer cancel()
		return c.live.Run(ctx)
	})
	c.sweep(ctx)
	return g.Wait()
}

// sweep drops expired shortcuts and what is kept of idle tenants, every few
// seconds until ctx ends.
func (c *Collector) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.clock.missing()
			c.hub.Sweep()
			c.metrics.forgetIdle()
			c.rates.forgetIdle()
		case <-ctx.Done():
			return
		}
	}
}

// Behind returns how long the oldest report that waits to be stored has waited since its tick
// ended, and 0 when none waits. It takes time in proportion to the values that wait.
func (c *Collector) Behind() time.Duration { return c.live.Stats().OldestSealed }

// Flush stores all reports that were added so far and returns when they can be
// found. It retries until ctx ends, and then returns a *bucket.UndeliveredError.
func (c *Collector) Flush(ctx context.Context) error { return c.live.Flush(ctx) }

// Close stops Run, refuses further reports, and flushes like Flush. When it
// returns nil, all reports are stored and the collector answers no further
// questions. Otherwise it may be called again to retry. The caller owns the
// authority and the index, which stay open.
func (c *Collector) Close(ctx context.Context) error {
	c.closed.Store(true)
	c.hub.Close(ctx)
	if err := c.live.Close(ctx); err != nil {
		return fmt.Errorf("close collector: %w", err)
	}
	return c.store.Close(ctx)
}
