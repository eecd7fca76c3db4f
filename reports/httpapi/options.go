package httpapi

import (
	"cmp"
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
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/timeblob/timeblob/reports/health"
	"github.com/timeblob/timeblob/reports/tenants"
)

// Options tune a Handler. Nil or a zero field means the default.
type Options struct {
	// TenantHeader names the request header that holds the tenant's id; Scope's is
	// X-Scope-OrgID. Default none: every request belongs to the default tenant,
	// whose id is empty. Without credentials a client can name any tenant, so a
	// proxy in front must control that. A request to /admin/ or /admin/summary
	// without the header sees all tenants, as /metrics always does.
	TenantHeader string
	// Tenants returns the table of credentials, and of the tenants' own limits in
	// place of MaxBody and MaxInflated; larger limits take more memory. If the
	// table holds any credential, requests need one on every path but /, /metrics,
	// /healthz and /readyz. It is called for each request. Default the collector's
	// table.
	Tenants func() *tenants.Table

	// MaxBody bounds a report as it is posted, in bytes; default 16 MiB.
	// MaxInflated bounds it after inflating; default 64 MiB.
	MaxBody, MaxInflated int64
	// MaxBuffered bounds the bytes, over all requests, of bodies that arrive or
	// wait to be decoded and of answers that are being sent. A request above the
	// bound is answered with 503. Default 256 MiB.
	MaxBuffered int64
	// Codings bounds the reports that are decoded or encoded at a time; others
	// wait. Posted reports that inflate to more than 2 MiB have an eighth as many
	// slots of their own, at least one, so that small reports never wait for large
	// ones. One decoding takes up to 64 MiB for the worst body of up to 2 MiB, up
	// to about 600 MiB for the worst that the default MaxInflated allows, and a few
	// MiB for a real report. Default four times GOMAXPROCS, at most 32: with fewer,
	// decoding would get too small a share of busy processors.
	Codings int

	// MaxWaiting bounds the requests of all tenants that wait for a shortcut at a
	// time; more are answered with 503. Default 1000.
	MaxWaiting int

	// MaxRange bounds the length of the range in one question. Default 31 days.
	MaxRange time.Duration
	// Timeout bounds the work on an answer; default 60 s. ClientTimeout bounds the
	// time in which a client sends its body, and twice that bounds the time in
	// which it receives the answer; default 30 s.
	Timeout, ClientTimeout time.Duration

	// ID identifies the collector: a probe that finds the same ID under two names
	// posts to one of them. Default random. Version and Hostname are shown; default
	// "dev" and the machine's name.
	ID, Version, Hostname string
	// Role is shown on the operators' page; default "all", or "query" for a
	// querier.
	Role string

	// Gatherer provides the metrics for /metrics. Without it the path does not
	// exist.
	Gatherer prometheus.Gatherer
	// Registerer takes the metrics; nil for none. Namespace leads their
	// names; default "scope".
	Registerer prometheus.Registerer
	Namespace  string
	// TracerProvider records the spans of requests and the spans below them;
	// default otel.GetTracerProvider. Propagator reads the trace context of a
	// request; default otel.GetTextMapPropagator.
	TracerProvider trace.TracerProvider
	Propagator     propagation.TextMapPropagator
	// Ready is the conditions of /readyz; default the Checks of the Collector or
	// Querier.
	Ready []health.Check
	// Logger reports requests that failed through no fault of the client, changes
	// of readiness and, if it is enabled for slog.LevelDebug, every request.
	// Default none.
	Logger *slog.Logger
}

// withDefaults returns a checked copy with all defaults set.
func (opts *Options) withDefaults() (Options, error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	o.MaxBody = cmp.Or(o.MaxBody, 16<<20)
	o.MaxInflated = cmp.Or(o.MaxInflated, 64<<20)
	o.MaxBuffered = cmp.Or(o.MaxBuffered, 256<<20)
	o.Codings = cmp.Or(o.Codings, min(4*runtime.GOMAXPROCS(0), 32))
	o.MaxWaiting = cmp.Or(o.MaxWaiting, 1000)
	o.MaxRange = cmp.Or(o.MaxRange, 31*24*time.Hour)
	o.Timeout = cmp.Or(o.Timeout, 60*time.Second)
	o.ClientTimeout = cmp.Or(o.ClientTimeout, 30*time.Second)
	o.ID = cmp.Or(o.ID, rand.Text())
	o.Version = cmp.Or(o.Version, "dev")
	o.Namespace = cmp.Or(o.Namespace, "scope")
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	if o.Propagator == nil {
		o.Propagator = otel.GetTextMapPropagator()
	}
	if o.Hostname == "" {
		o.Hostname, _ = os.Hostname() // without a name the page shows none
	}
	return o, o.check()
}

func (o *Options) check() error {
	switch {
	case o.MaxBody < 0 || o.MaxInflated < 0 || o.Codings < 0 || o.MaxWaiting < 0 || o.MaxRange < 0 || o.Timeout < 0 || o.ClientTimeout < 0:
		return errors.New("httpapi: limits and timeouts must not be negative")
	case o.MaxBuffered < o.MaxBody:
		return fmt.Errorf("httpapi: MaxBuffered %d is less than MaxBody %d", o.MaxBuffered, o.MaxBody)
	}
	if err := CheckTenantHeader(o.TenantHeader); err != nil {
		return fmt.Errorf("httpapi: %w", err)
	}
	return nil
}

// CheckTenantHeader returns an error for a name that no tenant header can have: one that HTTP does not allow, or one
// that HTTP gives another meaning. The empty name, for a single tenant, is valid.
func CheckTenantHeader(name string) error {
	switch {
	case !validHeader(name):
		return fmt.Errorf("%q is not a header name", name)
	case slices.Contains(takenHeaders, http.CanonicalHeaderKey(name)):
		return fmt.Errorf("%q says something else in HTTP: name a header of your own, as X-Scope-OrgID", name)
	}
	return nil
}

// takenHeaders are request headers that the server itself, Go's HTTP server or clients use.
var takenHeaders = []string{"Accept", "Accept-Encoding", "Authorization", "Connection", "Content-Encoding", "Content-Length",
	"Content-Type", "Cookie", "Expect", "Host", "Te", "Traceparent", "Tracestate", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent"}

// validHeader reports whether a name is a token of RFC 9110, section 5.6.2.
func validHeader(name string) bool {
	return !strings.ContainsFunc(name, func(c rune) bool {
		return c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}
