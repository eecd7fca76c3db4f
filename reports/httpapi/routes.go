package httpapi

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/admin"
	"github.com/timeblob/timeblob/reports/connlimit"
	"github.com/timeblob/timeblob/reports/health"
	"github.com/timeblob/timeblob/reports/shortcuts"
	"github.com/timeblob/timeblob/reports/tenants"
)

// source is a reader with what the handler is made of beside answers.
type source interface {
	reader
	admin.Source
	Shortcuts() *shortcuts.Hub
	Checks() []health.Check
}

// New returns the handler of a collector.
func New(c *reports.Collector, opts *Options) (*Handler, error) {
	if c == nil {
		return nil, errors.New("httpapi: a handler needs a collector")
	}
	return newHandler(c, c, opts)
}

// NewQuery returns the handler of a querier. It accepts no reports.
func NewQuery(q *reports.Querier, opts *Options) (*Handler, error) {
	if q == nil {
		return nil, errors.New("httpapi: a query handler needs a querier")
	}
	return newHandler(q, nil, opts)
}

func newHandler(from source, c *reports.Collector, opts *Options) (*Handler, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if c == nil {
		o.Role = cmp.Or(o.Role, "query")
	}
	o.Role = cmp.Or(o.Role, "all")
	if o.Tenants == nil {
		o.Tenants = func() *tenants.Table { return nil }
		if c != nil {
			o.Tenants = c.Table
		}
	}
	m, err := newMetrics(o.Registerer, o.Namespace)
	if err != nil {
		return nil, err
	}
	if o.Ready == nil {
		o.Ready = from.Checks()
	}
	h := &Handler{reader: from, collector: c, hub: from.Shortcuts(), opts: o, codings: make(slots, o.Codings), large: make(slots, max(o.Codings/8, 1)),
		buffered: &budget{max: o.MaxBuffered + 2*readAhead}, waiting: &budget{max: int64(o.MaxWaiting)}, metrics: m,
		health: health.New(o.Ready, o.Logger), stopping: make(chan struct{})}
	h.admin = h.newAdmin(from)
	h.routes = h.table()
	return h, nil
}

// table returns the routes. A path that answers GET answers HEAD too.
func (h *Handler) table() map[string]route {
	get := func(f answerer) map[string]answerer {
		return map[string]answerer{http.MethodGet: f, http.MethodHead: f}
	}
	report := get(h.getReport)
	if h.collector != nil {
		report[http.MethodPost] = h.untilDrained(h.postReport)
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
	held := answerer(refuseHeld)
	if h.collector != nil {
		held = h.getHeld
	}
	routes["/api/held"] = route{"api_held", get(held)}
	if h.opts.Gatherer != nil {
		routes["/metrics"] = route{"metrics", get(h.getMetrics())}
	}
	routes["/healthz"] = route{"healthz", get(getHealth)}
	routes["/readyz"] = route{"readyz", get(h.getReady)}
	return routes
}

// answererOf returns the name of a request's route, and its answerer.
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

// otherMethod answers OPTIONS, and refuses methods that the path does not have.
func (rt route) otherMethod(w http.ResponseWriter, r *request) error {
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

func notFound(_ http.ResponseWriter, r *request) error {
	return refuse(http.StatusNotFound, "no such path %.100q: / lists the paths", r.URL.Path)
}

// ServeHTTP answers a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, answer := h.answererOf(r)
	rec := &recorder{ResponseWriter: w}
	defer h.metrics.observe(r.Method, name, rec, time.Now())
	who := h.callerOf(r)
	r, end := h.observe(r, name, who, rec)
	defer end()
	h.setDeadlines(w, r)
	ctx, cancel := context.WithTimeout(r.Context(), h.opts.Timeout)
	defer cancel()
	defer h.recover(rec, r)
	own, limited := connlimit.Begin(r.WithContext(ctx)) // also for a refusal, after which Close must not answer again
	defer limited.End()
	err := who.refused(r.URL.Path)
	if err == nil {
		err = answer(rec, &request{Request: own, caller: who})
	}
	if err != nil {
		h.hintAtTokens(who, name)
		h.fail(rec, r, err)
	}
}

// setDeadlines bounds the time that the client may take, if the connection
// supports deadlines.
func (h *Handler) setDeadlines(w http.ResponseWriter, r *http.Request) {
	conn := http.NewResponseController(w)
	now := time.Now()
	if r.Body != nil && r.Body != http.NoBody {
		_ = conn.SetReadDeadline(now.Add(h.opts.ClientTimeout))
	}
	_ = conn.SetWriteDeadline(now.Add(h.opts.Timeout + 3*h.opts.ClientTimeout))
}

// getMetrics returns the answerer for Prometheus.
func (h *Handler) getMetrics() answerer {
	metrics := promhttp.HandlerFor(h.opts.Gatherer, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(h.opts.Logger.Handler(), slog.LevelWarn),
		Timeout:  h.opts.Timeout,
	})
	return func(w http.ResponseWriter, r *request) error {
		metrics.ServeHTTP(w, r.Request)
		return nil
	}
}
