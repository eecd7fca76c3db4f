package reports

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
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
	// Dial connects to collectors; default a net.Dialer's DialContext. TLS is
	// how those at https:// are spoken to; nil for the defaults.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	TLS  *tls.Config
	// Resolver looks up SRV records. Default net.DefaultResolver.
	Resolver SRVResolver

	// Propagator tells collectors whose trace a question is of; default
	// otel.GetTextMapPropagator.
	Propagator propagation.TextMapPropagator
	// Bus is where collectors tell of shortcuts, and ShortcutCache carries
	// what they say; nil for none, see the package's comment.
	Bus           Bus
	ShortcutCache tiered.Tier

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
	shareStore(&o.Store, o.Namespace, o.Registerer, o.Now)
	o.Past.Size = report.Size
	orDefault(&o.Past.Namespace, o.Namespace)
	if o.Past.Registerer == nil {
		o.Past.Registerer = o.Registerer
	}
	if o.Past.Now == nil {
		o.Past.Now = o.Now
	}
}

// client returns one that keeps a few connections to each collector and
// follows no redirects.
func (o *QuerierOptions) client() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.MaxIdleConnsPerHost = 16
	transport.TLSClientConfig = o.TLS.Clone()
	if o.Dial != nil {
		transport.DialContext = o.Dial
	}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

// hub returns what a hub needs of options that are complete.
func (o *QuerierOptions) hub() hubConfig {
	return hubConfig{bus: o.Bus, cache: o.ShortcutCache, window: o.Window, maxNodes: -1, now: o.Now,
		registerer: o.Registerer, namespace: o.Namespace, logger: o.Logger}
}
