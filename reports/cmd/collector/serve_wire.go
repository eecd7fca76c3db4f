package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/rollups"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/reports/httpapi"
	"github.com/timeblob/timeblob/reports/peers"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// server is a running collector or query service.
type server struct {
	listen, tenantHeader                     string
	place                                    *stores.Place
	role                                     *roleFlags
	alone                                    bool
	window, tick, quantum                    time.Duration
	keep                                     cli.Retention
	levels                                   *rollups.Flags
	ops                                      *operations
	client                                   time.Duration
	maxTopologyNodes, maxConnections         int
	maxBody, maxInflated, maxPending, memory *cli.Size
	tenancy                                  *tenancy
	flushing                                 *flushing
	logging                                  *telemetry.Logging
	nats                                     *natsServers
	journal                                  *journaling

	log     *slog.Logger
	metrics *prometheus.Registry
	store   *stores.Store
	stored  atomic.Int64 // the number of stored values
	runner  runner
	behind  func() time.Duration // how long the oldest report has waited to be stored; nil for a query service
	handler *httpapi.Handler
	web     *http.Server
}

// wire builds the server for its role, with its HTTP surface.
func (s *server) wire() error {
	s.metrics.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if s.role.role == roleQuery {
		return s.wireQuerier()
	}
	return s.wireCollector()
}

func (s *server) wireCollector() error {
	bus, carrier, err := s.nats.open(s.metrics, s.store, s.log)
	if err != nil {
		return err
	}
	flushes, flushesMax := s.flushing.counts(s.place.Embedded())
	c, err := reports.New(s.store.Index, s.store.Authority, &reports.Options{
		Live: bucket.CollectorOptions[*report.Report]{
			Window: s.window, Tick: s.tick, Alone: s.alone || s.place.Embedded(),
			MaxPending: int64(*s.maxPending), MaxTenantPending: int64(*s.tenancy.maxPending),
			MaxTenants: s.tenancy.max, Committer: s.store.Committer, Flushes: flushes, FlushesMax: flushesMax,
			Journal: s.journal.bucket(), Sync: s.store.Sync, SyncBytes: s.journal.syncBytes(),
			Stored: func(string, index.Entry, int) { s.stored.Add(1) },
			Past:   s.past(),
		},
		Store:            tiered.Options[*report.Report]{Memory: int64(*s.memory), Caches: s.store.Caches},
		MaxInflated:      s.store.Blobs.MaxBytes,
		BlobFormat:       s.store.Blobs.Format,
		MaxTopologyNodes: s.maxTopologyNodes,
		TracerProvider:   s.ops.tracing.Provider,
		TenantRate:       s.tenancy.limit(),
		Tenants:          s.tenancy.table,
		Registerer:       s.metrics,
		Namespace:        stores.Namespace,
		Logger:           s.log,
		Bus:              bus,
		ShortcutCache:    carrier,
		Checks:           s.journal.checks(),
		JournalDamaged:   s.journal.damaged,
	})
	if err != nil {
		return err
	}
	s.runner, s.behind = c, c.Behind
	h, err := httpapi.New(c, s.handlerOptions())
	if err != nil {
		return err
	}
	s.handler, s.web = h, httpapi.NewServer(h)
	return nil
}

// past returns how stored reports are merged.
func (s *server) past() bucket.QuantizerOptions[*report.Report] {
	return bucket.QuantizerOptions[*report.Report]{Quantum: s.quantum, CacheBytes: int64(*s.memory),
		Levels: s.levels.Options(s.place.Embedded(), s.keep, s.store.Retention)}
}

func (s *server) handlerOptions() *httpapi.Options {
	return &httpapi.Options{
		TenantHeader: s.tenantHeader, Tenants: s.tenancy.table,
		MaxBody: int64(*s.maxBody), MaxInflated: int64(*s.maxInflated),
		MaxBuffered: max(256<<20, int64(*s.maxBody)), ClientTimeout: s.client,
		TracerProvider: s.ops.tracing.Provider, Propagator: s.ops.tracing.Propagator,
		Version: cli.Version(), Role: string(s.role.role), Gatherer: s.metrics, Registerer: s.metrics, Logger: s.log,
	}
}

// runner is a collector or a querier, which the HTTP surface calls.
type runner interface {
	Run(ctx context.Context) error
	Close(ctx context.Context) error
}

// wireQuerier builds the querier on the store, and its HTTP surface.
func (s *server) wireQuerier() error {
	o := &reports.QuerierOptions{
		Window:      s.window,
		Past:        s.past(),
		Store:       tiered.Options[*report.Report]{Memory: int64(*s.memory), Caches: s.store.Caches},
		MaxInflated: s.store.Blobs.MaxBytes, BlobFormat: s.store.Blobs.Format,
		Registerer: s.metrics, Namespace: stores.Namespace, Logger: s.log,
	}
	found, err := s.peers()
	if err != nil {
		return err
	}
	if o.Bus, o.ShortcutCache, err = s.nats.open(s.metrics, s.store, s.log); err != nil {
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
