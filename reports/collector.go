package reports

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/tracing"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/reports/tenants"
	"github.com/timeblob/timeblob/tiered"
)

// sweepEvery is how often Run lets go of what has expired.
const sweepEvery = 5 * time.Second

// Collector takes reports of many tenants, stores them merged by tenant and
// tick, and answers for the live window and any past one. Tenant ids are those
// that [index.CheckTenant] lets through; others are a *index.TenantError.
// Reports that it takes or returns are shared: nobody may change them. It is
// safe for any number of goroutines.
type Collector struct {
	archive
	live     *bucket.Collector[*report.Report]
	hub      *shortcutHub
	metrics  *metrics
	rates    *rates
	tenants  func() *tenants.Table
	maxNodes int
	closed   atomic.Bool // Close was called
}

// New returns a collector over an index and the tier that holds every blob.
// It does nothing by itself: call Run to store what comes in, and Close in the
// end.
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
	store, err := tiered.New(upgrading{wire.Codec{MaxBytes: o.MaxInflated}}, authority, &o.Store)
	if err != nil {
		return nil, err
	}
	o.Live.Stored = m.countStored(o.Live.Stored)
	live, err := bucket.NewCollector(idx, store, m.merge, &o.Live)
	if err != nil {
		return nil, err
	}
	hub, err := newShortcutHub(o.hub(live.Window()))
	if err != nil {
		return nil, err
	}
	return &Collector{archive: archive{store, live.Entries, live.Window(), o.Now, StoreChecks(idx, authority, o.Store.Caches)}, live: live,
		hub: hub, metrics: m, rates: newRates(o.rate, o.Now), tenants: o.Tenants, maxNodes: o.MaxTopologyNodes}, nil
}

// upgrading is the stores' codec: what it decodes is upgraded, so that values
// in caches are.
type upgrading struct{ wire.Codec }

// Decode returns the upgraded report of a blob.
func (c upgrading) Decode(blob []byte) (*report.Report, error) {
	r, err := c.Codec.Decode(blob)
	if err != nil {
		return nil, err
	}
	return report.Upgrade(r)
}

// Origin is what is known about a report beside what it says.
type Origin struct {
	Probe string // the ID of the probe it came from; empty when unknown
	Size  int    // bytes it took on its way here
}

// InvalidError says that a report was refused because of what it holds.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return "report refused: " + e.Err.Error() }

func (e *InvalidError) Unwrap() error { return e.Err }

// Add takes a report. A shortcut is shown in live answers for a while and
// signals who waits; it is not stored. From any other the topologies over the
// limit are dropped, it is upgraded, and merged into the tenant's current
// tick.
//
// The error is an *InvalidError for a report that no collector should hold, or
// one of [bucket.Collector.Add]: a *index.TenantError, a *bucket.FullError
// when too much waits to be stored, of this tenant or of all, or
// bucket.ErrClosed. The report is then in no answer.
func (c *Collector) Add(ctx context.Context, tenant string, r *report.Report, from Origin) (err error) {
	ctx, adding := begunAdd(ctx, tenant, from)
	defer func() { adding.End(err) }()
	if err := c.mayAdd(ctx, tenant); err != nil {
		return err
	}
	if r == nil {
		return &InvalidError{errors.New("it is nil")}
	}
	return c.take(ctx, tenant, r, nil, from)
}

// begunAdd begins the span of a report that is taken.
func begunAdd(ctx context.Context, tenant string, from Origin) (context.Context, tracing.Span) {
	ctx, adding := spans.Child(ctx, "Add")
	adding.Text(tracing.Tenant, tenant)
	adding.Int(tracing.Bytes, from.Size)
	return ctx, adding
}

func (c *Collector) mayAdd(ctx context.Context, tenant string) error {
	if err := errors.Join(ctx.Err(), c.hub.check(tenant)); err != nil {
		return err
	}
	if c.closed.Load() {
		return bucket.ErrClosed
	}
	return nil
}

// take takes a report, and the blob that it was decoded from if that may be
// stored.
func (c *Collector) take(ctx context.Context, tenant string, r *report.Report, blob []byte, from Origin) error {
	c.metrics.countReceived(tenant, from.Size, r.Shortcut)
	r, dropped, err := admissible(r, c.maxNodes)
	c.metrics.countDropped(tenant, dropped)
	if err != nil {
		return &InvalidError{err}
	}
	if len(dropped) > 0 {
		blob = nil // which still holds them
	}
	return c.admit(ctx, tenant, r, blob, from.Probe)
}

// admissible returns a report upgraded, without the topologies of more than so
// many nodes for each host, and their names; an error for one that no collector
// should hold.
func admissible(r *report.Report, maxNodes int) (upgraded *report.Report, dropped []string, err error) {
	if err := report.Validate(r); err != nil {
		return nil, nil, err
	}
	r, dropped = report.DropTopologiesOver(r, maxNodes)
	upgraded, err = report.Upgrade(r)
	return upgraded, dropped, err
}

// admit takes an upgraded report. What a regular one says is in the live
// window before the shortcuts that it supersedes are gone.
func (c *Collector) admit(ctx context.Context, tenant string, r *report.Report, blob []byte, probe string) error {
	if r.Shortcut {
		c.hub.add(tenant, r, probe, c.now())
		return nil
	}
	if err := c.keep(ctx, tenant, r, blob); err != nil {
		return err
	}
	c.hub.supersede(tenant, r, probe)
	return nil
}

// keep adds a report to the live window, with its blob if there is one.
func (c *Collector) keep(ctx context.Context, tenant string, r *report.Report, blob []byte) error {
	if blob == nil {
		return c.live.Add(ctx, tenant, r, nil)
	}
	return c.live.AddBlob(ctx, tenant, bucket.Encoded[*report.Report]{Blob: blob, Decode: func() (*report.Report, error) { return r, nil }}, nil)
}

// WaitOn has a tenant's shortcuts signalled to a channel until UnWait; with
// Options.Bus also those that came to other services. A signal is sent without
// blocking: a channel without room misses it, so give it a buffer of one. The
// error is a *index.TenantError, or bucket.ErrClosed.
func (c *Collector) WaitOn(tenant string, waiter chan<- struct{}) error {
	return c.hub.wait(tenant, waiter)
}

// UnWait ends what WaitOn began. When it returns no further signal is sent.
func (c *Collector) UnWait(tenant string, waiter chan<- struct{}) { c.hub.unwait(tenant, waiter) }

// Run stores what comes in, tick by tick, until ctx ends or the collector is
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

// sweep lets go of expired shortcuts and of what is held of idle tenants.
func (c *Collector) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.hub.sweep(c.now())
			c.metrics.forgetIdle()
			c.rates.forgetIdle()
		case <-ctx.Done():
			return
		}
	}
}

// Flush stores all that was added so far and returns when it can be found. It
// tries again what fails until ctx ends, and then returns a
// *bucket.UndeliveredError.
func (c *Collector) Flush(ctx context.Context) error { return c.live.Flush(ctx) }

// Close stops Run, refuses further reports, and flushes like Flush. When it
// returns nil nothing is left, and the collector answers no more questions;
// otherwise it may be called again to try again. The authority and the index
// stay open: they are the caller's.
func (c *Collector) Close(ctx context.Context) error {
	c.closed.Store(true)
	c.hub.close(ctx)
	if err := c.live.Close(ctx); err != nil {
		return fmt.Errorf("close collector: %w", err)
	}
	return c.store.Close(ctx)
}
