package natsbus

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are the settings of Open that have defaults; nil is all of them.
type Options struct {
	// Name is what the server shows for the connection. Default "timeblob".
	Name string

	// Timeout bounds each attempt to connect to one server, looking up its
	// name included, and each write. Default 2 s.
	Timeout time.Duration

	// ReconnectWait is how long to wait, plus a random time of up to as much,
	// after all servers were tried. Default 1 s.
	ReconnectWait time.Duration

	// Ping is how often a server that says nothing is asked whether it is
	// there. One that does not answer is left after twice as long. Default 5 s.
	Ping time.Duration

	// TLS is used where a connection has TLS. Default the machine's roots and
	// TLS 1.2 or later.
	TLS *tls.Config

	// Registerer takes the metrics; nil: they are not registered. Buses that
	// share a registerer and a namespace share their metrics.
	Registerer prometheus.Registerer
	// Namespace begins the metrics' names; default "timeblob".
	Namespace string

	// Logger is told when the connection is made and lost, and of the first
	// failure to make it. Default slog.Default().
	Logger *slog.Logger
}

// filled returns a copy with the defaults filled in, or what is wrong.
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
