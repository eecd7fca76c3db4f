package reports

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/tiered"
)

// Querier answers questions about what several collectors take in, Scope's own
// among them, and store in one index and one authority. It takes no reports.
//
// Our own collectors tell it what they hold and the store has not yet, so that
// every answer about any instant holds every report once, live ones included.
// Where one of Scope's is among them, answers about now are the merge of all
// collectors' live windows, as in Scope's query services, and others hold of
// Scope's what is stored. It is safe for any number of goroutines.
type Querier struct {
	archive
	past    *bucket.Querier[*report.Report]
	peers   *peers
	client  *http.Client
	refresh time.Duration
	metrics *peerMetrics
	log     *slog.Logger
	hub     *shortcutHub
	stop    chan struct{} // closed by Close
	once    sync.Once
}

// NewQuerier returns a querier of the collectors that store in an index and
// the tier that holds every blob. It knows no collectors of which names have
// to be looked up before Run has done so.
func NewQuerier(idx index.Index, authority tiered.Tier, collectors Collectors, opts *QuerierOptions) (*Querier, error) {
	if idx == nil || authority == nil || len(collectors.places) == 0 {
		return nil, errors.New("reports: a querier needs an index, an authority tier and collectors")
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	m, err := newPeerMetrics(o.Registerer, o.Namespace)
	if err != nil {
		return nil, err
	}
	store, err := tiered.New(upgrading{wire.Codec{MaxBytes: o.MaxInflated}}, authority, &o.Store)
	if err != nil {
		return nil, err
	}
	past, err := bucket.NewQuerier(idx, store, report.Merge, &o.Past)
	if err != nil {
		return nil, err
	}
	client := o.client()
	a := &asker{client: client, timeout: o.Timeout, limit: o.MaxAnswer, tenantHeader: o.TenantHeader,
		token: o.Token, propagator: o.Propagator, metrics: m, now: time.Now}
	hub, err := newShortcutHub(o.hub())
	if err != nil {
		return nil, err
	}
	return &Querier{archive: archive{store, past.Past().Entries, o.Window, o.Now, StoreChecks(idx, authority, o.Store.Caches)}, past: past,
		peers:  newPeers(collectors, o.Resolver, a, o.Logger),
		client: client, refresh: o.Refresh, metrics: m, log: o.Logger, hub: hub, stop: make(chan struct{})}, nil
}

// Run looks the collectors up, and again and again until ctx ends or the
// querier is closed. Call it once.
func (q *Querier) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	working.Go(func() {
		q.peers.refresh(ctx)
		q.peers.run(ctx, q.refresh)
	})
	working.Go(func() { q.sweep(ctx) })
	select {
	case <-q.stop:
	case <-ctx.Done():
	}
	cancel()
	working.Wait()
	return nil
}

// sweep lets go of shortcuts that have expired.
func (q *Querier) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			q.hub.sweep(q.now())
		case <-ctx.Done():
			return
		}
	}
}

// WaitOn has a tenant's shortcuts, of which a bus tells, signalled to a channel
// until UnWait; see [Collector.WaitOn].
func (q *Querier) WaitOn(tenant string, waiter chan<- struct{}) error {
	return q.hub.wait(tenant, waiter)
}

// UnWait ends what WaitOn began. When it returns no further signal is sent.
func (q *Querier) UnWait(tenant string, waiter chan<- struct{}) { q.hub.unwait(tenant, waiter) }

// Collectors returns the addresses of the collectors known at the moment.
func (q *Querier) Collectors() []string {
	var names []string
	for _, p := range q.peers.known() {
		names = append(names, p.name)
	}
	return names
}

// Close ends Run, and what the querier keeps open. The authority and the index
// are the caller's.
func (q *Querier) Close(ctx context.Context) error {
	q.once.Do(func() { close(q.stop) })
	q.hub.close(ctx)
	q.client.CloseIdleConnections()
	return q.store.Close(ctx)
}

// NoCollectorError says that no collector could be asked about what is not
// stored yet.
type NoCollectorError struct {
	Collectors string  // where they were looked for
	Errs       []error // of each one that is known
}

func (e *NoCollectorError) Error() string {
	if len(e.Errs) == 0 {
		return fmt.Sprintf("no collector is known at %s: try again later", e.Collectors)
	}
	if len(e.Errs) == 1 {
		return fmt.Sprintf("the only collector does not answer: try again later: %v", e.Errs[0])
	}
	return fmt.Sprintf("none of %d collectors answers: try again later: %v", len(e.Errs), e.Errs[0])
}

// Unwrap returns the errors of the collectors.
func (e *NoCollectorError) Unwrap() []error { return e.Errs }

// ask answers a question of a request.
func (q *Querier) ask(ctx context.Context, tenant string, about question) (Answer, error) {
	if about.ranged {
		return q.Range(ctx, tenant, about.from, about.to)
	}
	return q.Report(ctx, tenant, about.to)
}

// Report returns the merge of the window that ends at an instant. For one that
// has not passed yet that is the live window, what all collectors hold and
// their shortcuts included; any earlier one is Range(at − window, at). It
// fails with a *NoCollectorError where no collector answers. A collector whose
// clock is a window or more from the querier's is missing.
//
// While the store fails, the live window is what collectors have in memory,
// and the answer's Missing says "store".
func (q *Querier) Report(ctx context.Context, tenant string, at time.Time) (a Answer, err error) {
	ctx, asked := asking(ctx, "Report", tenant, at.Add(-q.window), at)
	defer func() { asked.End(err) }()
	now := q.now()
	if at.Before(now) {
		return q.Range(ctx, tenant, at.Add(-q.window), at)
	}
	p := q.poll(tenant, now.Add(-q.window), q.soon())
	p.aboutNow()
	r, err := p.ask(ctx)
	switch {
	case p.plain():
		return p.live(ctx, nil)
	case err != nil && storeFailed(ctx, err):
		q.log.Warn("answer about now without the store", "tenant", tenant, "err", err)
		return p.live(ctx, []string{"store"})
	case err != nil:
		return Answer{}, err
	}
	return p.answer(r, p.shortcuts(), p.missing())
}

// storeFailed reports whether an error is not the caller's and not for want of
// collectors.
func storeFailed(ctx context.Context, err error) bool {
	var none *NoCollectorError
	return ctx.Err() == nil && !errors.As(err, &none) && clientFault(err) == nil
}

// Range returns the merge of every report with from ≤ instant < to, stored or
// held by a collector. A range that reaches into the last window fails with a
// *NoCollectorError where no collector answers; others are then answered from
// the store, and say so.
func (q *Querier) Range(ctx context.Context, tenant string, from, to time.Time) (a Answer, err error) {
	ctx, asked := asking(ctx, "Range", tenant, from, to)
	defer func() { asked.End(err) }()
	p := q.poll(tenant, from, to)
	r, err := p.ask(ctx)
	if err != nil {
		return Answer{}, err
	}
	return p.answer(r, nil, p.missing())
}

// HasReports reports whether Report would find any, shortcuts aside.
func (q *Querier) HasReports(ctx context.Context, tenant string, at time.Time) (bool, error) {
	a, err := q.has(ctx, tenant, at)
	return a.found, err
}

func (q *Querier) has(ctx context.Context, tenant string, at time.Time) (Answer, error) {
	return q.Report(ctx, tenant, at)
}
