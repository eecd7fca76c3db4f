package reports

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/timeblob/timeblob/reports/tenants"
)

// HandlerOptions tune a Handler; nil or a zero field means the default.
type HandlerOptions struct {
	// TenantHeader names the request header that holds the tenant's id;
	// Scope's is X-Scope-OrgID. Default none: all is of the single tenant of
	// which the id is empty. Whoever can reach the handler can name any
	// tenant, unless there are tokens: without, something before it must see
	// to who may. Without the header /admin/ and /admin/summary are of all
	// tenants, as /metrics always is.
	TenantHeader string
	// Tenants returns whose the tokens are, and what tenants have in place of
	// MaxBody and MaxInflated; larger ones than those take memory accordingly.
	// Once it holds any token, requests need one on every path but /,
	// /metrics, /healthz and /readyz. It is called for each request. Default
	// that of the collector.
	Tenants func() *tenants.Table

	// MaxBody bounds a report as it is posted, in bytes; default 16 MiB.
	// MaxInflated bounds what it inflates to; default 64 MiB.
	MaxBody, MaxInflated int64
	// MaxBuffered bounds, in bytes and over all requests, the bodies that are
	// arriving or waiting to be decoded, and the answers that are leaving.
	// What would pass it is answered with 503. Default 256 MiB.
	MaxBuffered int64
	// Codings is how many reports are decoded or encoded at a time; others
	// wait. Of those that come in and inflate to more than 2 MiB it is an
	// eighth, at least one, beside the others, which so never wait for them. It
	// bounds the memory that takes: to 64 MiB for the worst of up to 2 MiB, to
	// about 600 MiB for the worst that MaxInflated lets through by default, a
	// few MiB for real ones. Default four times GOMAXPROCS, at most 32: with no
	// more than there are processors, those would be left to all other work
	// whenever there is some.
	Codings int

	// MaxWaiting is how many requests may wait for a shortcut at a time, of
	// all tenants; more are answered with 503. Default 1000.
	MaxWaiting int

	// MaxRange bounds the time that one question covers. Default 31 days.
	MaxRange time.Duration
	// Timeout bounds the work on an answer; default 60 s. ClientTimeout
	// bounds how long a client takes to send its body and, twice as long, to
	// take the answer; default 30 s.
	Timeout, ClientTimeout time.Duration

	// ID tells collectors apart; probes that find two names for one ID post
	// to one of them. Default random. Version and Hostname are shown; default
	// "dev" and the machine's name.
	ID, Version, Hostname string
	// Role is shown on the page for operators; default "all", of a querier
	// "query".
	Role string

	// Gatherer is what /metrics shows; nil: the path does not exist.
	Gatherer prometheus.Gatherer
	// Registerer takes the metrics; nil for none. Namespace leads their
	// names; default "scope".
	Registerer prometheus.Registerer
	Namespace  string
	// TracerProvider records the spans of requests, which what they call goes
	// on; default otel.GetTracerProvider. Propagator reads off a request whose
	// trace it is of; default otel.GetTextMapPropagator.
	TracerProvider trace.TracerProvider
	Propagator     propagation.TextMapPropagator
	// Ready is what /readyz asks for; default the Checks of the
	// Collector or Querier. /healthz and
	// /readyz need no tenant.
	Ready []Check
	// Logger is told of requests that failed by no fault of the client, of
	// readiness that changed and, where it is enabled for slog.LevelDebug, of
	// every request.
	// Default none.
	Logger *slog.Logger
}

// withDefaults returns a checked copy with every field set.
func (opts *HandlerOptions) withDefaults() (HandlerOptions, error) {
	o := HandlerOptions{}
	if opts != nil {
		o = *opts
	}
	orDefault(&o.MaxBody, 16<<20)
	orDefault(&o.MaxInflated, 64<<20)
	orDefault(&o.MaxBuffered, 256<<20)
	orDefault(&o.Codings, min(4*runtime.GOMAXPROCS(0), 32))
	orDefault(&o.MaxWaiting, 1000)
	orDefault(&o.MaxRange, 31*24*time.Hour)
	orDefault(&o.Timeout, 60*time.Second)
	orDefault(&o.ClientTimeout, 30*time.Second)
	orDefault(&o.ID, rand.Text())
	orDefault(&o.Version, "dev")
	orDefault(&o.Namespace, "scope")
	orDefault(&o.Logger, slog.New(slog.DiscardHandler))
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	if o.Propagator == nil {
		o.Propagator = otel.GetTextMapPropagator()
	}
	if o.Hostname == "" {
		o.Hostname, _ = os.Hostname() // a machine without a name shows none
	}
	return o, o.check()
}

func (o *HandlerOptions) check() error {
	switch {
	case o.TenantHeader != "" && !validHeader(o.TenantHeader):
		return fmt.Errorf("reports: %q is no name of a header", o.TenantHeader)
	case o.MaxBody < 0 || o.MaxInflated < 0 || o.Codings < 0 || o.MaxWaiting < 0 || o.MaxRange < 0 || o.Timeout < 0 || o.ClientTimeout < 0:
		return errors.New("reports: limits and timeouts of the handler must not be negative")
	case o.MaxBuffered < o.MaxBody:
		return fmt.Errorf("reports: MaxBuffered %d is less than MaxBody %d", o.MaxBuffered, o.MaxBody)
	}
	return nil
}

// validHeader reports whether a name is a token as RFC 9110, section 5.6.2,
// has it.
func validHeader(name string) bool {
	return !strings.ContainsFunc(name, func(c rune) bool {
		return c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}

// reader answers questions: a *Collector or a *Querier.
type reader interface {
	ask(ctx context.Context, tenant string, q question) (Answer, error)
	has(ctx context.Context, tenant string, at time.Time) (Answer, error)
	stored() *archive
	Checks() []Check

	// overview and activity are for the page for operators.
	overview(ctx context.Context, match func(tenant string) bool, limit int) overview
	activity(ctx context.Context, tenant string, from time.Time) (activity, error)
}

// Handler is the HTTP surface of a Collector or a Querier, as the package
// comment lists it. It is safe for any number of requests at a time.
type Handler struct {
	reader    reader
	collector *Collector   // the same; nil where it is a Querier
	hub       *shortcutHub // where to wait
	opts      HandlerOptions
	routes    map[string]route // by path
	codings   gate             // for reports of the usual size
	large     gate             // for larger ones that come in
	buffered  *budget
	waiting   *budget // requests that wait for a shortcut
	metrics   *requestMetrics
	health    *health
	intake    intake
	begun     time.Time // when it was made

	stopOnce sync.Once
	stopping chan struct{} // closed when nobody may wait any longer
}

// NewHandler returns the HTTP surface of a collector.
func NewHandler(c *Collector, opts *HandlerOptions) (*Handler, error) {
	if c == nil {
		return nil, errors.New("reports: a handler needs a collector")
	}
	return newHandler(c, c, c.hub, opts)
}

// NewQueryHandler returns the HTTP surface of a querier, which takes no reports.
func NewQueryHandler(q *Querier, opts *HandlerOptions) (*Handler, error) {
	if q == nil {
		return nil, errors.New("reports: a query handler needs a querier")
	}
	return newHandler(q, nil, q.hub, opts)
}

func newHandler(from reader, c *Collector, hub *shortcutHub, opts *HandlerOptions) (*Handler, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if c == nil {
		orDefault(&o.Role, "query")
	}
	orDefault(&o.Role, "all")
	if o.Tenants == nil {
		o.Tenants = c.tenantTable
	}
	m, err := newRequestMetrics(o.Registerer, o.Namespace)
	if err != nil {
		return nil, err
	}
	h := &Handler{reader: from, collector: c, hub: hub, opts: o, codings: make(gate, o.Codings), large: make(gate, max(o.Codings/8, 1)),
		buffered: &budget{max: o.MaxBuffered + 2*room}, waiting: &budget{max: int64(o.MaxWaiting)}, metrics: m, begun: from.stored().now(),
		stopping: make(chan struct{})}
	h.routes = h.table()
	return h, nil
}

// route is what a path answers to.
type route struct {
	name    string // in metrics, as Scope writes it
	methods map[string]answerer
}

// answerer answers a request. When it returns an error it has written nothing.
type answerer func(w http.ResponseWriter, r *http.Request) error

// table returns the routes. Whoever answers GET answers HEAD.
func (h *Handler) table() map[string]route {
	get := func(f answerer) map[string]answerer {
		return map[string]answerer{http.MethodGet: f, http.MethodHead: f}
	}
	report := get(h.getReport)
	if h.collector != nil {
		report[http.MethodPost] = h.admitting(h.postReport)
	}
	routes := map[string]route{
		"/":              {"root", get(h.getIndex)},
		"/api":           {"api", get(h.getDetails)},
		"/api/report":    {"api_report", report},
		"/api/probes":    {"api_probes", get(h.getProbes)},
		"/api/wait":      {"api_wait", get(h.getWait)},
		"/admin":         {"admin", get(toAdmin)},
		"/admin/":        {"admin", get(h.getAdmin)},
		"/admin/summary": {"admin_summary", get(h.getSummary)},
	}
	held := answerer(holdsNothing)
	if h.collector != nil {
		held = h.getHeld
	}
	routes["/api/held"] = route{"api_held", get(held)}
	if h.opts.Gatherer != nil {
		routes["/metrics"] = route{"metrics", get(h.getMetrics())}
	}
	h.addHealth(routes)
	return routes
}

// answererOf returns the route of a request and what answers it.
func (h *Handler) answererOf(r *http.Request) (name string, f answerer) {
	rt, ok := h.routes[r.URL.Path]
	if !ok {
		return "other", notFound
	}
	if f, ok := rt.methods[r.Method]; ok {
		return rt.name, f
	}
	return rt.name, rt.otherMethod
}

// otherMethod answers OPTIONS, and refuses the methods that the path does not
// have.
func (rt route) otherMethod(w http.ResponseWriter, r *http.Request) error {
	allowed := []string{http.MethodOptions}
	for m := range rt.methods {
		allowed = append(allowed, m)
	}
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	w.Header().Set("Allow", allow)
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return refuse(http.StatusMethodNotAllowed, "method %.20q is not allowed here: use %s", r.Method, allow)
}

func notFound(_ http.ResponseWriter, r *http.Request) error {
	return refuse(http.StatusNotFound, "no such path %.100q: / lists those that there are", r.URL.Path)
}

// ServeHTTP answers a request, whatever happens on the way.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, answer := h.answererOf(r)
	rec := &recorder{ResponseWriter: w}
	defer h.metrics.observe(r.Method, name, rec, time.Now())
	r, end := h.visit(r, name, rec)
	defer end()
	h.setDeadlines(w, r)
	ctx, cancel := context.WithTimeout(r.Context(), h.opts.Timeout)
	defer cancel()
	defer h.recover(rec, r)
	err := h.letIn(r)
	if err == nil {
		own, t := begin(r.WithContext(ctx))
		defer t.end()
		err = answer(rec, own)
	}
	if err != nil {
		h.fail(rec, r, err)
	}
}

// setDeadlines bounds how long the client may take, where the connection can.
func (h *Handler) setDeadlines(w http.ResponseWriter, r *http.Request) {
	conn := http.NewResponseController(w)
	now := time.Now()
	if r.Body != nil && r.Body != http.NoBody {
		_ = conn.SetReadDeadline(now.Add(h.opts.ClientTimeout))
	}
	_ = conn.SetWriteDeadline(now.Add(h.opts.Timeout + 3*h.opts.ClientTimeout))
}

// getMetrics returns the answer for Prometheus.
func (h *Handler) getMetrics() answerer {
	metrics := promhttp.HandlerFor(h.opts.Gatherer, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(h.opts.Logger.Handler(), slog.LevelWarn),
		Timeout:  h.opts.Timeout,
	})
	return func(w http.ResponseWriter, r *http.Request) error {
		metrics.ServeHTTP(w, r)
		return nil
	}
}

// maxStreams is how many requests HTTP/2 lets a connection have under way: each
// takes some 25 kB, and limits of connections do not count them. A query service
// that has more to ask opens another connection.
const maxStreams = 32

// NewServer returns a server for a handler that gives slow and idle clients
// limited time. The caller listens, serves and shuts down, which ends the
// requests that wait for a shortcut; [LimitConnections] limits what is open.
func NewServer(h *Handler) *http.Server {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: min(h.opts.ClientTimeout, 10*time.Second),
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ConnContext:       withConn,
		ConnState:         noteState,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          slog.NewLogLogger(h.opts.Logger.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(h.endWaits)
	return server
}
