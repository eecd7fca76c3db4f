package memcache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxTTL is the longest relative time that memcached knows: what is
	// longer it takes for a date. See "Expiration times" in its protocol.txt.
	maxTTL = 30 * 24 * time.Hour

	// defaultMaxItem leaves room, in memcached's default limit of 1 MiB an
	// item, for its header of some 60 bytes and a key of 250.
	defaultMaxItem = 1<<20 - 512

	// maxItem is the largest -I that memcached takes.
	maxItem = 1 << 30
)

// Options are the settings of Open that have defaults; nil is all of them.
type Options struct {
	// TTL is how long servers keep an item, more than 0 and at most 30 days;
	// part of a second counts as a whole one, and memcached may be a second
	// early. Default 30 s.
	TTL time.Duration

	// MaxItem is the largest blob that is stored, in bytes; larger ones are
	// skipped and counted. It must leave a server's limit (-I) some 320 bytes
	// for key and header. Default 512 bytes less than 1 MiB; at most 1 GiB.
	MaxItem int

	// Timeout bounds each Get and each Put, whatever the servers do: it
	// covers waiting for a turn, connecting, asking and reading. Default 100 ms.
	Timeout time.Duration

	// BatchKeys is how many keys one request asks one server for at most;
	// more become several requests, at a time. Default 100.
	BatchKeys int

	// Parallel is how many requests are under way at a time, over all callers
	// and servers. So it bounds the connections that are kept open to one
	// server, too. Default 64.
	Parallel int

	// Failures is after how many failures in a row a server is left alone:
	// connections that are refused or break, and requests that run into
	// Timeout. What a server declines in words is no failure. Default 5.
	Failures int

	// Cooldown is how long a server is left alone before one request may try
	// it again. Default 2 s.
	Cooldown time.Duration

	// Refresh is how often, give or take a tenth, the servers' names and
	// addresses are looked up. While that fails it is tried sooner, first
	// after a second, and what was last found stays. Default 1 min.
	Refresh time.Duration

	// Resolver looks names up. Default net.DefaultResolver.
	Resolver Resolver

	// Dial connects to an address: network "tcp" with IP and port, or "unix"
	// with a path. It must return when ctx ends. Default a net.Dialer's
	// DialContext; for servers with TLS give a tls.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Registerer takes the metrics; nil: they are not registered. Tiers that
	// share a registerer and a namespace share their metrics.
	Registerer prometheus.Registerer
	// Namespace begins the metrics' names; default "timeblob".
	Namespace string

	// Logger is told when the servers change, cannot be looked up, fail and
	// recover. Default slog.Default().
	Logger *slog.Logger
}

// Resolver is what a tier needs of a *net.Resolver, whose methods say what
// these return. They must return when ctx ends.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error)
	LookupHost(ctx context.Context, host string) (addresses []string, err error)
}

// filled returns a copy with the defaults filled in, or what is wrong.
func (o *Options) filled() (Options, error) {
	var full Options
	if o != nil {
		full = *o
	}
	fill(&full.TTL, 30*time.Second)
	fill(&full.MaxItem, defaultMaxItem)
	fill(&full.Timeout, 100*time.Millisecond)
	fill(&full.BatchKeys, 100)
	fill(&full.Parallel, 64)
	fill(&full.Failures, 5)
	fill(&full.Cooldown, 2*time.Second)
	fill(&full.Refresh, time.Minute)
	fill(&full.Resolver, Resolver(net.DefaultResolver))
	fill(&full.Namespace, "timeblob")
	fill(&full.Logger, slog.Default())
	if full.Dial == nil {
		full.Dial = new(net.Dialer).DialContext
	}
	return full, full.check()
}

func fill[V comparable](field *V, value V) {
	var zero V
	if *field == zero {
		*field = value
	}
}

// check looks at options whose defaults are filled in.
func (o *Options) check() error {
	switch {
	case o.TTL < 0 || o.TTL > maxTTL:
		return fmt.Errorf("memcache: Options.TTL is %v: want more than 0 and at most 720h", o.TTL)
	case o.MaxItem < 0 || o.MaxItem > maxItem:
		return fmt.Errorf("memcache: Options.MaxItem is %d bytes: want 1 to %d", o.MaxItem, maxItem)
	case o.Timeout < 0 || o.Cooldown < 0 || o.Refresh < 0:
		return errors.New("memcache: Options.Timeout, Cooldown and Refresh must not be negative")
	case o.BatchKeys < 0 || o.Parallel < 0 || o.Failures < 0:
		return errors.New("memcache: Options.BatchKeys, Parallel and Failures must not be negative")
	}
	return nil
}

// expiration is TTL as memcached wants it: in seconds, of which a part counts
// as a whole.
func (o *Options) expiration() int32 {
	return int32((o.TTL + time.Second - 1) / time.Second)
}
