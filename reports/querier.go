package reports

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/metric"
	"github.com/timeblob/timeblob/reports/health"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/reports/shortcuts"
	"github.com/timeblob/timeblob/tiered"
)

// Peers are the collectors that a Querier asks. *peers.Set is one.
type Peers interface {
	// Known returns the collectors known at the moment, ordered by address. The
	// slice is shared: nobody may change it.
	Known() []Peer
	// Unknown returns the configured names for which no collector was found yet.
	Unknown() []string
	// Run keeps Known up to date until ctx ends.
	Run(ctx context.Context) error
}

// Peer is one collector that a Querier asks.
type Peer interface {
	Name() string // its address
	// Held returns what the collector holds of a tenant with from ≤ instant < to.
	// The error is ErrNoHoldings for a collector that cannot tell, and ErrHidden for one
	// that is kept from telling. The caller may change the list of sealed values.
	Held(ctx context.Context, tenant string, from, to time.Time) (Holdings, error)
	// Live returns the collector's live window, and what that lacks. Only Report and
	// Missing of the answer count.
	Live(ctx context.Context, tenant string) (Answer, error)
}

// ErrNoHoldings is returned by a collector that does not tell what it holds, as
// Scope's collectors do not.
var ErrNoHoldings = errors.New("the collector does not tell what it holds: it is one of Scope's")

// ErrHidden is returned by a collector of ours whose answer about what it holds does not
// come through. It is ErrNoHoldings to errors.Is: an answer about now has the collector's live
// window. Other answers name the collector.
var ErrHidden error = hiddenError{}

type hiddenError struct{}

func (hiddenError) Error() string {
	return "a proxy in front of the collector answers 404 for /api/held: let that path pass"
}

func (hiddenError) Is(target error) bool { return target == ErrNoHoldings }

// Querier answers questions from the reports of several collectors, ours or
// Scope's, that share an index and an authority. It accepts no reports.
//
// Our collectors tell the querier what they hold and the store may lack, so that
// every answer holds every report once. If one of Scope's collectors is among
// them, an answer about now is the merge of all collectors' live windows, as
// Scope's query services answer, and other answers hold of Scope's reports only
// the stored ones. It is safe for concurrent use.
type Querier struct {
	Archive
	past    *bucket.Querier[*report.Report]
	peers   Peers
	missing prometheus.Counter
	log     *slog.Logger
	hub     *shortcuts.Hub
	stop    chan struct{} // closed by Close

	storeTimeout time.Duration
	clock        *setClock
	once         sync.Once
}

// NewQuerier returns a querier of collectors that store in an index and the tier
// that holds every blob. Call Run to keep the collectors up to date, and Close
// at the end.
func NewQuerier(idx index.Index, authority tiered.Tier, peers Peers, opts *QuerierOptions) (*Querier, error) {
	if idx == nil || authority == nil || peers == nil {
		return nil, errors.New("reports: a querier needs an index, an authority tier and collectors")
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	f := metric.Factory{Registerer: o.Registerer, Namespace: o.Namespace}
	missing := f.Counter("collectors_missing_total", "Collectors that an answer lacks as a whole or in part, and names without a collector, counted for each answer.")
	if f.Err != nil {
		return nil, f.Err
	}
	store, err := tiered.New(wire.Upgrading{Codec: wire.Codec{MaxBytes: o.MaxInflated, Format: o.BlobFormat}}, authority, &o.Store)
	if err != nil {
		return nil, err
	}
	past, err := bucket.NewQuerier(idx, store, report.Merge, &o.Past)
	if err != nil {
		return nil, err
	}
	hub, err := shortcuts.New(o.hub())
	if err != nil {
		return nil, err
	}
	archive := Archive{store: store, entries: past.Past().Entries, window: o.Window, now: o.Now,
		stores: health.StoreChecks(idx, authority, o.Store.Caches)}
	return &Querier{Archive: archive, past: past, peers: peers, missing: missing, log: o.Logger, hub: hub,
		stop: make(chan struct{}), storeTimeout: o.StoreTimeout,
		clock: newSetClock(o.Now, o.Window, o.Logger)}, nil
}

// Shortcuts returns the hub of the querier's shortcuts, where clients wait. Only
// a bus brings shortcuts to it.
func (q *Querier) Shortcuts() *shortcuts.Hub { return q.hub }

// CheckTenant returns an *index.TenantError for a tenant id that the querier
// does not accept; see [shortcuts.Hub.CheckTenant].
func (q *Querier) CheckTenant(tenant string) error { return q.hub.CheckTenant(tenant) }

// Checks returns the conditions of being ready: the stores are reachable, and a
// collector is known.
func (q *Querier) Checks() []health.Check {
	known := health.Check{Name: "collectors", Run: func(context.Context) error {
		if len(q.peers.Known()) == 0 {
			return health.Unready("none is known yet")
		}
		return nil
	}}
	return append(slices.Clone(q.stores), known)
}

// Run runs the collectors' Run until ctx ends or the querier is closed. Call it
// once.
func (q *Querier) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var working sync.WaitGroup
	var err error
	working.Go(func() { err = q.peers.Run(ctx) })
	working.Go(func() { q.sweep(ctx) })
	working.Go(func() { q.build(ctx) })
	select {
	case <-q.stop:
	case <-ctx.Done():
	}
	cancel()
	working.Wait()
	return err
}

// build builds roll-ups until ctx ends. A querier goes on without them.
func (q *Querier) build(ctx context.Context) {
	if err := q.past.Past().Build(ctx); err != nil && ctx.Err() == nil {
		q.log.Error("no roll-ups are built", "err", err)
	}
}

// sweep drops expired shortcuts every few seconds until ctx ends.
func (q *Querier) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			q.clock.missing()
			q.hub.Sweep()
		case <-ctx.Done():
			return
		}
	}
}

// Collectors returns the addresses of the collectors known at the moment.
func (q *Querier) Collectors() []string {
	var names []string
	for _, p := range q.peers.Known() {
		names = append(names, p.Name())
	}
	return names
}

// Close ends Run and releases what the querier holds. The caller owns the
// authority and the index.
func (q *Querier) Close(ctx context.Context) error {
	q.once.Do(func() { close(q.stop) })
	q.hub.Close(ctx)
	return q.store.Close(ctx)
}

// NoCollectorError says that no collector answered a question about instants
// that the store may lack.
type NoCollectorError struct {
	Unknown []string // configured names without a collector
	Errs    []error  // one for each known collector
}

func (e *NoCollectorError) Error() string {
	switch len(e.Errs) {
	case 0:
		return fmt.Sprintf("no collector is known at %s: try again later", strings.Join(e.Unknown, ","))
	case 1:
		return fmt.Sprintf("the only collector does not answer: try again later: %v", e.Errs[0])
	}
	return fmt.Sprintf("none of %d collectors answers: try again later: %v", len(e.Errs), e.Errs[0])
}

// Unwrap returns the errors of the collectors.
func (e *NoCollectorError) Unwrap() []error { return e.Errs }
