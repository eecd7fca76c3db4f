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
	// maxTTL is the longest relative expiration of memcached, which takes larger numbers for Unix times: see
	// "Expiration times" in its protocol.txt.
	maxTTL = 30 * 24 * time.Hour

	// defaultMaxItem leaves room within memcached's default limit of 1 MiB for an item's header of about 60
	// bytes and a key of 250 bytes.
	defaultMaxItem = 1<<20 - 512

	// maxItem is the largest value of memcached's option -I.
	maxItem = 1 << 30
)

// Options are the optional settings of Open. nil means all defaults.
type Options struct {
	// TTL is how long servers keep an item, above 0 and at most 30 days. It is rounded up to whole seconds,
	// and memcached may be a second early. Default 30 s.
	TTL time.Duration

	// MaxItem is the largest blob to store, in bytes. Larger blobs are skipped and counted. Keep it some 320
	// bytes below the server's limit (-I), for key and header. Default 1 MiB minus 512 bytes; at most 1 GiB.
	MaxItem int

	// Timeout limits each Get and Put as a whole: waiting for a slot, connecting, sending and reading.
	// Default 100 ms.
	Timeout time.Duration

	// BatchKeys is the most keys in one request. More keys are sent in several requests at the same time.
	// Default 100.
	BatchKeys int

	// Parallel is the most requests under way over all callers and servers. It also limits the open
	// connections to one server. Default 64.
	Parallel int

	// Failures is the number of failures in a row after which a server's circuit opens. Failures are refused
	// or broken connections and requests that exceed Timeout, but not error answers of the server. Default 5.
	Failures int

	// Cooldown is how long a circuit stays open before one request may probe the server. Default 2 s.
	Cooldown time.Duration

	// Refresh is the interval, ± 10 %, at which names and addresses of servers are looked up. Failed lookups
	// are repeated sooner, first after a second, and the last result stays in use. Default 1 min.
	Refresh time.Duration

	// Resolver looks up names. Default net.DefaultResolver.
	Resolver Resolver

	// Dial connects to an address: network "tcp" with IP and port, or "unix" with a path. It must return when
	// ctx ends. Default DialContext of a net.Dialer. For TLS use DialContext of a tls.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Registerer registers the metrics; nil for none. Tiers with the same registerer and namespace share
	// their metrics.
	Registerer prometheus.Registerer
	// Namespace is the prefix of metric names. Default "timeblob".
	Namespace string

	// Logger logs changes, failures and recoveries of servers, and failed lookups. Default slog.Default().
	Logger *slog.Logger
}

// Resolver is the part of *net.Resolver that a tier uses. Its methods must return when ctx ends.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error)
	LookupHost(ctx context.Context, host string) (addresses []string, err error)
}

// filled returns a copy with defaults, or an error for invalid options.
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

// check checks options that have their defaults.
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

// expiration returns TTL in seconds, rounded up, as memcached expects it.
func (o *Options) expiration() int32 {
	return int32((o.TTL + time.Second - 1) / time.Second)
}
