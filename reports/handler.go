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
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// HandlerOptions tune a Handler; nil or a zero field means the default.
type HandlerOptions struct {
	// TenantHeader names the request header that holds the tenant's id;
	// Scope's is X-Scope-OrgID. Default none: all is of the single tenant of
	// which the id is empty. Whoever can reach the handler can name any
	// tenant: something before it must see to who may.
	TenantHeader string

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

	// Gatherer is what /metrics shows; nil: the path does not exist.
	Gatherer prometheus.Gatherer
	// Registerer takes the metrics; nil for none. Namespace leads their
	// names; default "scope".
	Registerer prometheus.Registerer
	Namespace  string
	// Logger is told of requests that failed by no fault of the client.
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
	orDefault(&o.MaxRange, 31*24*time.Hour)
	orDefault(&o.Timeout, 60*time.Second)
	orDefault(&o.ClientTimeout, 30*time.Second)
	orDefault(&o.ID, rand.Text())
	orDefault(&o.Version, "dev")
	orDefault(&o.Namespace, "scope")
	orDefault(&o.Logger, slog.New(slog.DiscardHandler))
	if o.Hostname == "" {
		o.Hostname, _ = os.Hostname() // a machine without a name shows none
	}
	return o, o.check()
}

func (o *HandlerOptions) check() error {
	switch {
	case o.TenantHeader != "" && !validHeader(o.TenantHeader):
		return fmt.Errorf("reports: %q is no name of a header", o.TenantHeader)
	case o.MaxBody < 0 || o.MaxInflated < 0 || o.Codings < 0 || o.MaxRange < 0 || o.Timeout < 0 || o.ClientTimeout < 0:
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

// Handler is the HTTP surface of a Collector, as the package comment lists it.
// It is safe for any number of requests at a time.
type Handler struct {
	collector *Collector
	opts      HandlerOptions
	routes    map[string]route // by path
	codings   gate             // for reports of the usual size
	large     gate             // for larger ones that come in
	buffered  *budget
	metrics   *requestMetrics
}

// NewHandler returns the HTTP surface of a collector.
func NewHandler(c *Collector, opts *HandlerOptions) (*Handler, error) {
	if c == nil {
		return nil, errors.New("reports: a handler needs a collector")
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	m, err := newRequestMetrics(o.Registerer, o.Namespace)
	if err != nil {
		return nil, err
	}
	h := &Handler{collector: c, opts: o, codings: make(gate, o.Codings), large: make(gate, max(o.Codings/8, 1)),
		buffered: &budget{max: o.MaxBuffered + 2*room}, metrics: m}
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
	report[http.MethodPost] = h.postReport
	routes := map[string]route{
		"/":              {"root", get(h.getIndex)},
		"/api":           {"api", get(h.getDetails)},
		"/api/report":    {"api_report", report},
		"/api/probes":    {"api_probes", get(h.getProbes)},
		"/admin/summary": {"admin_summary", get(h.getSummary)},
	}
	if h.opts.Gatherer != nil {
		routes["/metrics"] = route{"metrics", get(h.getMetrics())}
	}
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
	h.setDeadlines(w, r)
	ctx, cancel := context.WithTimeout(r.Context(), h.opts.Timeout)
	defer cancel()
	defer h.recover(rec, r)
	own, t := begin(r.WithContext(ctx))
	defer t.end()
	if err := answer(rec, own); err != nil {
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

// NewServer returns a server for a handler that gives slow and idle clients
// limited time. The caller listens, serves and shuts down; [LimitConnections]
// limits what is open.
func NewServer(h *Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: min(h.opts.ClientTimeout, 10*time.Second),
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ConnContext:       withConn,
		ConnState:         noteState,
		ErrorLog:          slog.NewLogLogger(h.opts.Logger.Handler(), slog.LevelDebug),
	}
}
