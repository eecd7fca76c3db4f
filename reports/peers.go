package reports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Collectors says where collectors are: at fixed addresses, where the SRV
// records of DNS names say, or both. ParseCollectors makes one.
type Collectors struct{ places []place }

// place is an address, or a name whose records hold addresses.
type place struct {
	scheme string
	host   string // host:port; empty for a name
	srv    string // the name of SRV records, as _api._tcp.collector.example.com
}

func (p place) String() string { return cmp.Or(p.host, "srv:"+p.srv) }

// String lists the addresses and names.
func (c Collectors) String() string {
	names := make([]string, len(c.places))
	for i, p := range c.places {
		names[i] = p.String()
	}
	return strings.Join(names, ",")
}

// ParseCollectors reads a list, with commas between, of
//
//	[http://|https://]host:port   a collector
//	srv:NAME, srv+https:NAME      those of the SRV records of a DNS name, as
//	                              _api._tcp.collector.example.com
func ParseCollectors(text string) (Collectors, error) {
	var c Collectors
	for item := range strings.SplitSeq(text, ",") {
		p, err := parsePlace(strings.TrimSpace(item))
		if err != nil {
			return Collectors{}, fmt.Errorf("collector %.80q: %w", item, err)
		}
		c.places = append(c.places, p)
	}
	return c, nil
}

func parsePlace(item string) (place, error) {
	for prefix, scheme := range map[string]string{"srv:": "http", "srv+https:": "https"} {
		if name, ok := strings.CutPrefix(item, prefix); ok {
			if name == "" || strings.ContainsAny(name, "/:@ ") {
				return place{}, errors.New("must be srv:NAME with the name of an SRV record")
			}
			return place{scheme: scheme, srv: name}, nil
		}
	}
	if !strings.Contains(item, "://") {
		item = "http://" + item
	}
	u, err := url.Parse(item)
	switch {
	case err != nil:
		return place{}, errors.New("must be host:port, a URL of those, or srv:NAME")
	case u.Scheme != "http" && u.Scheme != "https":
		return place{}, errors.New("must begin with http:// or https://, or with neither")
	case u.Hostname() == "" || u.Port() == "":
		return place{}, errors.New("must have a host and a port")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		return place{}, errors.New("must not have a path, a query or a user")
	}
	return place{scheme: u.Scheme, host: u.Host}, nil
}

// SRVResolver looks up SRV records; *net.Resolver is one. It must return when
// ctx ends.
type SRVResolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error)
}

// lookupTimeout bounds the look-up of one name.
const lookupTimeout = 5 * time.Second

// peers are the collectors that are known. Those of a name that cannot be
// looked up stay as they were.
type peers struct {
	collectors Collectors
	resolver   SRVResolver
	asker      *asker
	log        *slog.Logger

	mu     sync.Mutex // guards what follows
	last   [][]string // what is known of each place: base URLs
	list   []*peer    // ordered by base
	failed bool       // the last look-up was not one of every name
}

// newPeers returns peers of which those at fixed addresses are known.
func newPeers(c Collectors, resolver SRVResolver, a *asker, log *slog.Logger) *peers {
	p := &peers{collectors: c, resolver: resolver, asker: a, log: log, last: make([][]string, len(c.places))}
	found := make([][]string, len(c.places))
	for i, place := range c.places {
		found[i] = place.fixed()
	}
	p.adopt(found, nil)
	return p
}

// fixed returns the base URL of an address; nil for a name.
func (p place) fixed() []string {
	if p.host == "" {
		return nil
	}
	return []string{p.scheme + "://" + p.host}
}

// known returns the collectors. The slice is shared: nobody may change it.
func (p *peers) known() []*peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.list
}

// unknown returns the names of which no collector has been found yet.
func (p *peers) unknown() (names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, place := range p.collectors.places {
		if p.last[i] == nil {
			names = append(names, place.String())
		}
	}
	return names
}

// run looks names up again and again until ctx ends.
func (p *peers) run(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.refresh(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// refresh looks all names up, and takes over what was found.
func (p *peers) refresh(ctx context.Context) {
	found := make([][]string, len(p.collectors.places))
	errs := make([]error, len(found))
	var looks sync.WaitGroup
	for i, place := range p.collectors.places {
		looks.Go(func() { found[i], errs[i] = p.lookUp(ctx, place) })
	}
	looks.Wait()
	if ctx.Err() == nil {
		p.adopt(found, errors.Join(errs...))
	}
}

// lookUp returns the base URLs of a place's collectors; nil with an error.
func (p *peers) lookUp(ctx context.Context, at place) (bases []string, err error) {
	if bases = at.fixed(); bases != nil {
		return bases, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	_, records, err := p.resolver.LookupSRV(ctx, "", "", at.srv)
	if err == nil && len(records) == 0 {
		err = fmt.Errorf("%v has no records", at)
	}
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		host := net.JoinHostPort(strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port)))
		bases = append(bases, at.scheme+"://"+host)
	}
	return bases, nil
}

// adopt makes the collectors found the known ones. Those that stay keep what
// is known of them.
func (p *peers) adopt(found [][]string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, bases := range found {
		if bases != nil {
			p.last[i] = bases
		}
	}
	bases := slices.Concat(p.last...)
	slices.Sort(bases)
	bases = slices.Compact(bases)
	changed := !slices.EqualFunc(p.list, bases, func(have *peer, base string) bool { return have.base == base })
	if changed {
		p.list = p.peersOf(bases)
		p.log.Info("collectors changed", "collectors", bases)
	}
	if err != nil && !p.failed {
		p.log.Warn("collectors cannot be looked up and stay as they were", "collectors", p.collectors.String(), "err", err)
	}
	p.failed = err != nil
	p.asker.metrics.known.Set(float64(len(p.list)))
	p.asker.metrics.lookups(err)
}

// peersOf returns the peers of base URLs, known ones as they are. The caller
// holds mu.
func (p *peers) peersOf(bases []string) []*peer {
	list := make([]*peer, len(bases))
	for i, base := range bases {
		at := slices.IndexFunc(p.list, func(have *peer) bool { return have.base == base })
		if at >= 0 {
			list[i] = p.list[at]
			continue
		}
		_, name, _ := strings.Cut(base, "://")
		list[i] = &peer{base: base, name: name, asker: p.asker}
	}
	return list
}
