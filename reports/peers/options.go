package peers

import (
	"cmp"
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
)

// Resolver looks up SRV records; *net.Resolver is one. It must return when ctx
// ends.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error)
}

// Options tune a Set. Nil or a zero field means the default.
type Options struct {
	// TenantHeader is the request header that names the tenant to collectors;
	// default none. Token, unless it is empty, is sent to them as a bearer token.
	TenantHeader, Token string
	// Refresh is how often names are looked up. Default 5 s.
	Refresh time.Duration
	// Timeout bounds each request to a collector. Default 3 s.
	Timeout time.Duration
	// MaxAnswer bounds the answer of a collector, in bytes. Default 256 MiB. Twice as much bounds
	// all answers that are read at a time, without the first 4 MiB of each.
	MaxAnswer int64
	// Dial connects to collectors; default a net.Dialer's DialContext. TLS
	// configures connections to collectors at https://; nil for the defaults.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	TLS  *tls.Config
	// Resolver looks up SRV records. Default net.DefaultResolver.
	Resolver Resolver

	// Propagator passes the trace of a question on to collectors; default
	// otel.GetTextMapPropagator.
	Propagator propagation.TextMapPropagator
	// Registerer takes the metrics; nil for none. Namespace leads their names;
	// default "scope".
	Registerer prometheus.Registerer
	Namespace  string
	// Logger reports collectors that come and go, and failed look-ups. Default
	// none.
	Logger *slog.Logger
}

// withDefaults returns a checked copy with all defaults set.
func (opts *Options) withDefaults() (Options, error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	o.Refresh = cmp.Or(o.Refresh, 5*time.Second)
	o.Timeout = cmp.Or(o.Timeout, 3*time.Second)
	o.MaxAnswer = cmp.Or(o.MaxAnswer, 256<<20)
	o.Resolver = cmp.Or(o.Resolver, Resolver(net.DefaultResolver))
	o.Namespace = cmp.Or(o.Namespace, "scope")
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Propagator == nil {
		o.Propagator = otel.GetTextMapPropagator()
	}
	if o.Refresh < 0 || o.Timeout < 0 || o.MaxAnswer < 0 {
		return o, errors.New("peers: Refresh, Timeout and MaxAnswer must not be negative")
	}
	return o, nil
}

// client returns an HTTP client that keeps a few connections to each collector
// and follows no redirects.
func (o *Options) client() *http.Client {
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
