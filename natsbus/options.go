package natsbus

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are the optional settings of Open. nil means all defaults.
type Options struct {
	// Name is the name of the connection at the server. Default "timeblob".
	Name string

	// Timeout limits each attempt to connect to a server, including the lookup of its name, and each write.
	// Default 2 s.
	Timeout time.Duration

	// ReconnectWait is the delay after all servers were tried. A random delay of up to the same length is
	// added. Default 1 s.
	ReconnectWait time.Duration

	// Ping is the interval at which a silent server is pinged. A server that does not answer within twice the
	// interval is given up. Default 5 s.
	Ping time.Duration

	// TLS is the configuration for connections with TLS. Default: the machine's roots, TLS 1.2 or later.
	TLS *tls.Config

	// Registerer registers the metrics; nil for none. Buses with the same registerer and namespace share
	// their metrics.
	Registerer prometheus.Registerer
	// Namespace is the prefix of metric names. Default "timeblob".
	Namespace string

	// Logger logs when the connection is made or lost, and the first failure to connect. Default
	// slog.Default().
	Logger *slog.Logger
}

// filled returns a copy with defaults, or an error for invalid options.
func (o *Options) filled() (Options, error) {
	var full Options
	if o != nil {
		full = *o
	}
	fill(&full.Name, "timeblob")
	fill(&full.Timeout, 2*time.Second)
	fill(&full.ReconnectWait, time.Second)
	fill(&full.Ping, 5*time.Second)
	fill(&full.Namespace, "timeblob")
	fill(&full.Logger, slog.Default())
	if full.TLS == nil {
		full.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if full.Timeout < 0 || full.ReconnectWait < 0 || full.Ping < 0 {
		return full, errors.New("natsbus: Options.Timeout, ReconnectWait and Ping must not be negative")
	}
	return full, nil
}

func fill[V comparable](field *V, value V) {
	var zero V
	if *field == zero {
		*field = value
	}
}
