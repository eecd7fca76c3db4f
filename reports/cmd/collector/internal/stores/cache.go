package stores

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/timeblob/timeblob/memcache"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/address"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/tiered"
)

// cacheParameters lists the parameters of parseCache for help.
const cacheParameters = "ttl, timeout, max-item, batch, parallel, failures, cooldown, refresh, sums-only."

// memcachedPort is memcached's default port.
const memcachedPort = "11211"

// cache holds memcached servers and their options.
type cache struct {
	*location
	servers memcache.Servers
	opts    memcache.Options

	sumsOnly bool // tiered.Cache.SumsOnly
}

// parseCache parses a URL of memcached servers.
func parseCache(text string) (*cache, error) {
	l, err := parseLocation(text, memcachedScheme, srvScheme)
	if err != nil {
		return nil, err
	}
	if l.key != "" {
		return nil, errors.New("memcached takes no credentials")
	}
	c := &cache{location: l}
	if err := c.setServers(); err != nil {
		return nil, err
	}
	p := l.read()
	p.duration("ttl", &c.opts.TTL)
	p.duration("timeout", &c.opts.Timeout)
	p.integer("max-item", &c.opts.MaxItem)
	p.integer("batch", &c.opts.BatchKeys)
	p.integer("parallel", &c.opts.Parallel)
	p.integer("failures", &c.opts.Failures)
	p.duration("cooldown", &c.opts.Cooldown)
	p.duration("refresh", &c.opts.Refresh)
	p.truth("sums-only", &c.sumsOnly)
	p.removed("selection", "modulo", "keys are spread over the servers as Scope spreads them")
	return c, p.err()
}

// setServers sets the servers of a location.
func (c *cache) setServers() error {
	if c.scheme == srvScheme {
		return c.setRecord()
	}
	if c.name != "" {
		return errors.New("must be memcached://host[:port], without a path; several hosts are separated by commas")
	}
	hosts := strings.Split(c.host, ",")
	for i, host := range hosts {
		if err := address.CheckServer(host); err != nil {
			return err
		}
		if _, _, given := address.Cut(host); !given {
			hosts[i] += ":" + memcachedPort
		}
		if slices.Contains(hosts[:i], hosts[i]) {
			return fmt.Errorf("the server %s is given twice", hosts[i])
		}
	}
	c.servers = memcache.List(hosts...)
	return nil
}

// serviceName matches the name of a service in SRV records, without its underscore.
var serviceName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)

// setRecord sets the servers from the SRV records of _service._tcp.host.
func (c *cache) setRecord() error {
	_, _, port := address.Cut(c.host + c.name)
	switch {
	case c.host == "" || c.name == "" || strings.Contains(c.name, "/"):
		return errors.New("must be memcached+srv://service/host")
	case port:
		return errors.New("leave the port out: the SRV records hold it")
	case strings.HasPrefix(c.host, "_") || strings.HasPrefix(c.name, "_"):
		return errors.New("write the service without _ and the protocol, as memcached+srv://memcached/host " +
			"for the records of _memcached._tcp.host")
	case !serviceName.MatchString(c.host):
		return errors.New("the service must be a name of letters, digits and hyphens, as memcached+srv://memcached/host")
	}
	if err := address.CheckName(c.name); err != nil {
		return err
	}
	c.servers = memcache.SRV(c.host, c.name)
	return nil
}

// open puts the cache in front of a store's authority. Closing the store closes the cache.
func (c *cache) open(ctx context.Context, s *Store, how *Options) error {
	opts := c.opts
	opts.Registerer, opts.Namespace, opts.Logger = how.Metrics, Namespace, how.Logger
	tier, err := memcache.Open(ctx, c.servers, &opts)
	if err != nil {
		return cli.AsUsage(fmt.Errorf("--cache: %w", err))
	}
	s.Caches = append(s.Caches, tiered.Cache{Name: memcachedScheme, Tier: tier, SumsOnly: c.sumsOnly})
	before := s.Close
	s.Close = func() error { return errors.Join(tier.Close(), before()) }
	return nil
}
