// Package peers finds the collectors that a query service asks, asks them over
// HTTP, and defines the wire form of what a collector holds.
package peers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/timeblob/timeblob/reports"
)

// lookupTimeout bounds the look-up of one name.
const lookupTimeout = 5 * time.Second

// Set is the collectors that are known. When a name cannot be looked up, its
// collectors stay as they were. A Set is a [reports.Peers], safe for concurrent
// use.
type Set struct {
	list     List
	resolver Resolver
	refresh  time.Duration
	client   *http.Client
	asker    *asker
	metrics  *metrics
	log      *slog.Logger

	mu     sync.Mutex     // guards the fields below
	found  [][]string     // base URLs that were found last, by location; nil for none yet
	known  []reports.Peer // of type *collector, ordered by base URL
	failed bool           // the last look-up failed for some name
}

// New returns the collectors of a list. It knows those at fixed addresses; Run
// looks up the others.
func New(list List, opts *Options) (*Set, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if len(list.locations) == 0 {
		return nil, errors.New("peers: the list of collectors is empty")
	}
	m, err := newMetrics(o.Registerer, o.Namespace)
	if err != nil {
		return nil, err
	}
	client := o.client()
	s := &Set{list: list, resolver: o.Resolver, refresh: o.Refresh, client: client, metrics: m, log: o.Logger,
		asker: &asker{client: client, timeout: o.Timeout, limit: o.MaxAnswer, reading: budget{max: 2 * o.MaxAnswer}, tenantHeader: o.TenantHeader,
			token: o.Token, propagator: o.Propagator, metrics: m, now: time.Now},
		found: make([][]string, len(list.locations))}
	fixed := make([][]string, len(list.locations))
	for i, at := range list.locations {
		fixed[i] = at.fixed()
	}
	s.adopt(fixed, nil)
	return s, nil
}

// Known returns the collectors known at the moment, ordered by address. The
// slice is shared: nobody may change it.
func (s *Set) Known() []reports.Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known
}

// Unknown returns the names for which no collector was found yet.
func (s *Set) Unknown() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, at := range s.list.locations {
		if s.found[i] == nil {
			names = append(names, at.String())
		}
	}
	return names
}

// Run looks up the names, at once and then every Options.Refresh, until ctx ends.
// Then it closes idle connections.
func (s *Set) Run(ctx context.Context) error {
	defer s.client.CloseIdleConnections()
	ticker := time.NewTicker(s.refresh)
	defer ticker.Stop()
	for {
		s.Refresh(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Refresh looks up all names once.
func (s *Set) Refresh(ctx context.Context) {
	found := make([][]string, len(s.list.locations))
	errs := make([]error, len(found))
	var lookups sync.WaitGroup
	for i, at := range s.list.locations {
		lookups.Go(func() { found[i], errs[i] = s.lookUp(ctx, at) })
	}
	lookups.Wait()
	if ctx.Err() == nil {
		s.adopt(found, errors.Join(errs...))
	}
}

// lookUp returns the base URLs of the collectors at a location, or nil with an
// error.
func (s *Set) lookUp(ctx context.Context, at location) (bases []string, err error) {
	if bases = at.fixed(); bases != nil {
		return bases, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	_, records, err := s.resolver.LookupSRV(ctx, "", "", at.srv)
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

// adopt makes the collectors that were found the known ones. Collectors that
// were known before stay the same objects.
func (s *Set) adopt(found [][]string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, bases := range found {
		if bases != nil {
			s.found[i] = bases
		}
	}
	bases := slices.Concat(s.found...)
	slices.Sort(bases)
	bases = slices.Compact(bases)
	changed := !slices.EqualFunc(s.known, bases, func(have reports.Peer, base string) bool { return baseOf(have) == base })
	if changed {
		s.known = s.peersOf(bases)
		s.log.Info("collectors changed", "collectors", bases)
	}
	if err != nil && !s.failed {
		s.log.Warn("collectors cannot be looked up and stay as they were", "collectors", s.list.String(), "err", err)
	}
	s.failed = err != nil
	s.metrics.lookedUp(len(s.known), err)
}

// peersOf returns the peers with base URLs; known ones stay the same objects.
// The mutex is held.
func (s *Set) peersOf(bases []string) []reports.Peer {
	peers := make([]reports.Peer, len(bases))
	for i, base := range bases {
		at := slices.IndexFunc(s.known, func(have reports.Peer) bool { return baseOf(have) == base })
		if at >= 0 {
			peers[i] = s.known[at]
			continue
		}
		_, name, _ := strings.Cut(base, "://")
		peers[i] = &collector{base: base, name: name, asker: s.asker}
	}
	return peers
}

func baseOf(p reports.Peer) string { return p.(*collector).base }
