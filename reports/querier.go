package reports

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// QuerierOptions tune a Querier; nil or a zero field means the default.
type QuerierOptions struct {
	// Window is how far back a question of Report reaches; the collectors'
	// should be the same. Default 15 s.
	Window time.Duration
	// Past tunes how stored reports are merged, Store how they are read. Their
	// Size is the package's own; where their Registerer, Namespace or Now are
	// not set, those below are used.
	Past  bucket.QuantizerOptions[*report.Report]
	Store tiered.Options[*report.Report]
	// MaxInflated bounds a stored report when it is inflated, in bytes.
	// Default 1 GiB.
	MaxInflated int64

	// TenantHeader is the request header in which collectors are told the
	// tenant; default none. Token, when it is not empty, is sent to them as a
	// bearer token.
	TenantHeader, Token string
	// Refresh is how often the names of collectors are looked up. Default 5 s.
	Refresh time.Duration
	// Timeout bounds each request to a collector. Default 3 s.
	Timeout time.Duration
	// MaxAnswer bounds what a collector answers, in bytes. Default 256 MiB.
	MaxAnswer int64
	// Client asks collectors; default one that keeps connections open.
	Client *http.Client
	// Resolver looks up SRV records. Default net.DefaultResolver.
	Resolver SRVResolver

	// Propagator tells collectors whose trace a question is of; default
	// otel.GetTextMapPropagator.
	Propagator propagation.TextMapPropagator
	// Registerer takes the metrics; nil for none. Namespace leads their
	// names; default "scope".
	Registerer prometheus.Registerer
	Namespace  string
	// Logger is told when collectors come and go, and which do not answer.
	// Default none.
	Logger *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// withDefaults returns a checked copy with every field of our own set.
func (opts *QuerierOptions) withDefaults() (QuerierOptions, error) {
	o := QuerierOptions{}
	if opts != nil {
		o = *opts
	}
	orDefault(&o.Window, 15*time.Second)
	orDefault(&o.MaxInflated, 1<<30)
	orDefault(&o.Refresh, 5*time.Second)
	orDefault(&o.Timeout, 3*time.Second)
	orDefault(&o.MaxAnswer, 256<<20)
	orDefault(&o.Client, newPeerClient())
	orDefault(&o.Resolver, SRVResolver(net.DefaultResolver))
	orDefault(&o.Namespace, "scope")
	orDefault(&o.Logger, slog.New(slog.DiscardHandler))
	if o.Propagator == nil {
		o.Propagator = otel.GetTextMapPropagator()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Window < 0 || o.MaxInflated < 0 || o.Refresh < 0 || o.Timeout < 0 || o.MaxAnswer < 0 {
		return o, errors.New("reports: Window, MaxInflated, Refresh, Timeout and MaxAnswer must not be negative")
	}
	o.share()
	return o, nil
}

// share gives store and quantizer what they were not given of their own.
func (o *QuerierOptions) share() {
	o.Past.Size, o.Store.Size = report.Size, report.Size
	orDefault(&o.Past.Namespace, o.Namespace)
	orDefault(&o.Store.Namespace, o.Namespace)
	if o.Past.Registerer == nil {
		o.Past.Registerer = o.Registerer
	}
	if o.Store.Registerer == nil {
		o.Store.Registerer = o.Registerer
	}
	if o.Past.Now == nil {
		o.Past.Now = o.Now
	}
	if o.Store.Now == nil {
		o.Store.Now = o.Now
	}
}

// newPeerClient returns a client that keeps a few connections to each
// collector and follows no redirects.
func newPeerClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.MaxIdleConnsPerHost = 16
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

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
	stop    chan struct{} // closed by Close
	once    sync.Once
}

// NewQuerier returns a querier of the collectors that store in an index and
// the tier that holds every blob. It knows no collectors of which names have
// to be looked up before Run has done so.
func NewQuerier(index bucket.Index, authority tiered.Tier, collectors Collectors, opts *QuerierOptions) (*Querier, error) {
	if index == nil || authority == nil || len(collectors.places) == 0 {
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
	store, err := tiered.New(upgrading{report.Codec{MaxBytes: o.MaxInflated}}, authority, &o.Store)
	if err != nil {
		return nil, err
	}
	past, err := bucket.NewQuerier(index, store, report.Merge, &o.Past)
	if err != nil {
		return nil, err
	}
	a := &asker{client: o.Client, timeout: o.Timeout, limit: o.MaxAnswer, tenantHeader: o.TenantHeader,
		token: o.Token, propagator: o.Propagator, metrics: m, now: time.Now}
	return &Querier{archive: archive{store, past.Past().Entries, o.Window, o.Now, StoreChecks(index, authority, o.Store.Caches)}, past: past,
		peers:  newPeers(collectors, o.Resolver, a, o.Logger),
		client: o.Client, refresh: o.Refresh, metrics: m, log: o.Logger, stop: make(chan struct{})}, nil
}

// Run looks the collectors up, and again and again until ctx ends or the
// querier is closed.
func (q *Querier) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		q.peers.refresh(ctx)
		q.peers.run(ctx, q.refresh)
	})
	select {
	case <-q.stop:
	case <-ctx.Done():
	}
	cancel()
	looking.Wait()
	return nil
}

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
// fails with a *NoCollectorError where no collector answers.
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
	// Collectors' clocks may be ahead, by a window at the most.
	p := q.poll(tenant, now.Add(-q.window), q.soon())
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
	a, err := q.Report(ctx, tenant, at)
	return a.found, err
}

// poll is one question to all collectors.
type poll struct {
	q        *Querier
	tenant   string
	from, to time.Time
	recent   bool // it reaches into the last window
	calls    []*call
	failed   []error // by call
}

func (q *Querier) poll(tenant string, from, to time.Time) *poll {
	p := &poll{q: q, tenant: tenant, from: from, to: to, recent: to.After(q.now().Add(-q.window))}
	for _, known := range q.peers.known() {
		p.calls = append(p.calls, &call{peer: known})
	}
	p.failed = make([]error, len(p.calls))
	return p
}

// call asks one collector, and keeps the shortcuts that it holds.
type call struct {
	peer      *peer
	shortcuts []*report.Report
}

// Held makes a call a bucket.Source.
func (c *call) Held(ctx context.Context, tenant string, from, to time.Time) (bucket.Held[*report.Report], error) {
	h, err := c.peer.held(ctx, tenant, from, to)
	c.shortcuts = h.shortcuts
	return h.Held, err
}

// ask returns the merge of what is stored and what collectors hold; nil when
// there is nothing.
func (p *poll) ask(ctx context.Context) (*report.Report, error) {
	sources := make([]bucket.Source[*report.Report], len(p.calls))
	for i, c := range p.calls {
		sources[i] = c
	}
	a, err := p.q.past.Range(ctx, p.tenant, p.from, p.to, sources)
	if a.Failed != nil {
		p.failed = a.Failed
	}
	if err != nil {
		return nil, err
	}
	if p.recent && !p.plain() && p.silent() == len(p.calls) {
		return nil, p.none()
	}
	return a.Value, nil
}

// plain reports whether one of Scope's collectors was met.
func (p *poll) plain() bool {
	return slices.ContainsFunc(p.failed, func(err error) bool { return errors.Is(err, errPlain) })
}

// silent counts the calls without an answer.
func (p *poll) silent() (n int) {
	for _, err := range p.failed {
		if err != nil {
			n++
		}
	}
	return n
}

func (p *poll) none() error {
	return &NoCollectorError{p.q.peers.collectors.String(), slices.DeleteFunc(slices.Clone(p.failed), func(err error) bool { return err == nil })}
}

// missing names the collectors of which what they hold is not in the answer,
// counts and logs them. What Scope's hold of a time long past they have stored.
func (p *poll) missing() (names []string) {
	for i, err := range p.failed {
		if err == nil || errors.Is(err, errPlain) && !p.recent {
			continue
		}
		names = append(names, p.calls[i].peer.name)
		p.q.metrics.missing.Inc()
		p.q.log.Warn("a collector is missing in an answer", "collector", p.calls[i].peer.name, "tenant", p.tenant, "err", err)
	}
	if len(p.calls) == 0 {
		names = append(names, p.q.peers.collectors.String())
	}
	return names
}

// shortcuts returns the collectors' shortcuts, each once.
func (p *poll) shortcuts() (all []*report.Report) {
	seen := make(map[string]bool)
	for _, c := range p.calls {
		for _, r := range c.shortcuts {
			if r.ID == "" || !seen[r.ID] {
				all = append(all, r)
			}
			seen[r.ID] = true
		}
	}
	return all
}

// live returns the merge of the collectors' live windows. Missing begins with
// what is missing already.
func (p *poll) live(ctx context.Context, missing []string) (Answer, error) {
	windows := make([]*report.Report, len(p.calls))
	var asked sync.WaitGroup
	for i, c := range p.calls {
		asked.Go(func() { windows[i], p.failed[i] = c.peer.live(ctx, p.tenant) })
	}
	asked.Wait()
	if err := ctx.Err(); err != nil {
		return Answer{}, err
	}
	if p.silent() == len(p.calls) {
		return Answer{}, p.none()
	}
	windows = slices.DeleteFunc(windows, nothing)
	if len(windows) == 0 {
		return p.answer(nil, nil, append(missing, p.missing()...))
	}
	r, err := report.Merge(windows)
	if err != nil {
		return Answer{}, err
	}
	return p.answer(r, nil, append(missing, p.missing()...))
}

// nothing reports whether an answer is of no report at all.
func nothing(r *report.Report) bool {
	return r == nil || r.TS.IsZero() && report.Summary(r) == ""
}

// answer joins shortcuts to a report, which is nil when there is none.
func (p *poll) answer(r *report.Report, said []*report.Report, missing []string) (Answer, error) {
	whole, err := join(r, said)
	return Answer{whole, missing, r != nil}, err
}
