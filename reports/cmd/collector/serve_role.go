package main

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/address"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/tlsfiles"
	"github.com/timeblob/timeblob/reports/httpapi"
	"github.com/timeblob/timeblob/reports/peers"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// role is what a server does.
type role string

const (
	roleAll       role = "all"       // accepts reports and answers about everything
	roleCollector role = "collector" // is one of several that accept reports
	roleQuery     role = "query"     // accepts no reports: asks collectors and the store
)

// roleForms is the part of help about roles.
const roleForms = `With --role all, the default, a server takes reports and answers for itself. With --role collector it is
one of several: it takes reports and answers for what it takes and what all have stored. With --role query
it takes none: it asks the --collectors what they hold, Scope's own among them, and the store for the rest.
A collector that does not answer is named in the answer's header Timeblob-Missing.`

// roleFlags are the flags that belong to a role.
type roleFlags struct {
	role       role
	collectors peers.List
	given      bool // whether --collectors is set
	timeout    time.Duration
	token      string
	tls        *tlsfiles.Client
	resolver   *net.Resolver // nil for the system's
}

func defineRole(f *cli.Flags) *roleFlags {
	r := &roleFlags{role: roleAll}
	f.Func("role", "take reports and answer (all), be one of several (collector), or only answer (query): the `ROLE` (default all)",
		func(text string) error { r.role = role(text); return r.role.check() })
	f.Func("collectors", "with --role query: ask the collectors in a `LIST` of host:port, http(s)://host:port, and srv:NAME "+
		"or srv+https:NAME for SRV records, looked up every 5s", func(text string) (err error) {
		r.given = text != ""
		r.collectors, err = peers.Parse(text)
		return err
	})
	f.DurationVar(&r.timeout, "collector-timeout", 3*time.Second, "wait for a collector's answer for a `DURATION`")
	f.TokenVar(&r.token, "collector-token", "the `TOKEN` of a peer, * in their tenants file, that collectors want; better in "+
		cli.Variable("collector-token")+", since others see a process's arguments")
	r.tls = tlsfiles.DefineClient(f, "collector-")
	f.Func("resolver", "look up names of collectors with the DNS server at an `ADDRESS`, host:port; else as the system does",
		func(text string) (err error) { r.resolver, err = resolverAt(text); return err })
	f.Must(r.check)
	return r
}

func (r role) check() error {
	switch r {
	case roleAll, roleCollector, roleQuery:
		return nil
	}
	return errors.New("must be all, collector or query")
}

func (r *roleFlags) check() error {
	switch {
	case r.role == roleQuery && !r.given:
		return errors.New("--role query needs --collectors")
	case r.role != roleQuery && r.given:
		return errors.New("--collectors goes with --role query")
	}
	return cli.Positive("collector-timeout", r.timeout)
}

// resolverAt returns a resolver that asks one DNS server, or nil for no address.
func resolverAt(server string) (*net.Resolver, error) {
	if server == "" {
		return nil, nil
	}
	if _, _, given := address.Cut(server); !given {
		return nil, errors.New("must be host:port, as 127.0.0.1:53")
	}
	if err := address.CheckServer(server); err != nil {
		return nil, err
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server)
	}}, nil
}

// runner is a collector or a querier, which the HTTP surface calls.
type runner interface {
	Run(ctx context.Context) error
	Close(ctx context.Context) error
}

// checkRole checks the flags that do not fit the role.
func (s *server) checkRole() error {
	switch {
	case s.role.role == roleQuery && s.place.Embedded():
		return errors.New("--role query needs --index and --blobs: a directory is held by the collector that writes it")
	case s.role.role == roleQuery && s.alone:
		return errors.New("--alone is not for --role query")
	case s.role.role == roleCollector && s.alone:
		return errors.New("--alone is not for --role collector, which is one of several")
	}
	return nil
}

// wireQuerier builds the querier on the store, and its HTTP surface.
func (s *server) wireQuerier() error {
	o := &reports.QuerierOptions{
		Window:      s.window,
		Past:        bucket.QuantizerOptions[*report.Report]{Quantum: s.quantum, CacheBytes: int64(*s.memory)},
		Store:       tiered.Options[*report.Report]{Memory: int64(*s.memory), Caches: s.store.Caches},
		MaxInflated: stores.Blobs.MaxBytes,
		Registerer:  s.metrics, Namespace: stores.Namespace, Logger: s.log,
	}
	found, err := s.peers()
	if err != nil {
		return err
	}
	if o.Bus, o.ShortcutCache, err = s.nats.open(s); err != nil {
		return err
	}
	q, err := reports.NewQuerier(s.store.Index, s.store.Authority, found, o)
	if err != nil {
		return err
	}
	s.runner = q
	h, err := httpapi.NewQuery(q, s.handlerOptions())
	if err != nil {
		return err
	}
	s.handler, s.web = h, httpapi.NewServer(h)
	return nil
}

// peers returns the collectors that a querier asks.
func (s *server) peers() (*peers.Set, error) {
	o := &peers.Options{
		TenantHeader: s.tenantHeader, Token: s.role.token, Timeout: s.role.timeout,
		Propagator: s.ops.tracing.Propagator, Registerer: s.metrics, Namespace: stores.Namespace, Logger: s.log,
	}
	if s.role.resolver != nil {
		o.Resolver = s.role.resolver
		o.Dial = (&net.Dialer{Resolver: s.role.resolver}).DialContext
	}
	var err error
	if o.TLS, err = s.role.tls.Config(); err != nil {
		return nil, err
	}
	return peers.New(s.role.collectors, o)
}
