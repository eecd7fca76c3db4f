package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

var serveCommand = command{
	name: "serve",
	usage: []string{
		"[--listen ADDRESS] [--data DIR] [--tenant-header NAME] …",
		"[--role collector] --index URL --blobs URL [--cache URL] [--create] …",
		"--role query --collectors LIST --index URL --blobs URL [--cache URL] …",
	},
	brief: "takes what probes post, stores it and answers questions",
	about: `Probes post to it, and query services and people ask it, at the address that it prints once it listens.
What arrives within a tick is merged and stored at its end. On SIGTERM or an interrupt it takes no more
requests, stores what it holds, and exits with 0; with 1 when something could not be stored, which it names.
A second signal ends it at once.

` + roleForms + `

` + placeForms + `

` + opsForms + `

With a table, --retention has DynamoDB's TTL remove entries; what removes their blobs is a lifecycle rule
of the bucket, which should keep them for a day longer.

` + tenantForms,
	define: func(f *flags) action {
		s := &server{}
		s.defineStore(f)
		s.defineHTTP(f)
		s.role = f.role()
		f.must(s.checkRole)
		s.defineTenants(f)
		s.logging = f.logging()
		f.must(s.check)
		return s.run
	},
}

// server is a running collector.
type server struct {
	listen, tenantHeader                     string
	place                                    *place
	role                                     *roleFlags
	alone                                    bool
	window, tick, quantum                    time.Duration
	retention                                time.Duration
	ops                                      *operations
	client                                   time.Duration
	maxTopologyNodes, maxConnections         int
	maxBody, maxInflated, maxPending, memory *size
	tenancy                                  tenancy
	logging                                  *logging
	nats                                     *natsServers

	log     *slog.Logger
	metrics *prometheus.Registry
	store   *store
	stored  atomic.Int64 // values
	runner  runner
	handler *reports.Handler
	web     *http.Server
}

func (s *server) defineStore(f *flags) {
	s.metrics = prometheus.NewRegistry()
	s.place = f.creating(f.place(defaultData))
	f.exclusive([]string{"data"}, placeFlags)
	f.must(s.place.check)
	s.nats = f.nats()
	f.BoolVar(&s.alone, "alone", false, "no other collector takes the tenants' reports: until this one has run for a "+
		"window, the present is what is stored as well; always so with --data")
	f.DurationVar(&s.window, "window", 15*time.Second, "how far back a question reaches: a `DURATION`")
	f.DurationVar(&s.tick, "tick", 3*time.Second, "how often what arrived is stored, merged: every `DURATION`")
	f.DurationVar(&s.quantum, "quantum", 3*time.Second, "cache stored reports merged by slices of a `DURATION`")
	f.DurationVar(&s.retention, "retention", 0, "remove hours that ended more than a `DURATION` ago; 0 for never")
	s.maxPending = f.size("max-pending", 1<<30, "refuse reports while more than `BYTES` wait to be stored")
	s.memory = f.size("memory", 256<<20, "keep up to `BYTES` of stored reports, and as many of merges, in memory")
}

func (s *server) defineHTTP(f *flags) {
	f.StringVar(&s.listen, "listen", "127.0.0.1:4040", "the `ADDRESS` to serve at; port 0 takes a free one")
	f.StringVar(&s.tenantHeader, "tenant-header", "",
		"the `NAME` of the request header that says the tenant, in Scope "+scopeHeader+"; empty for a single tenant")
	f.IntVar(&s.maxTopologyNodes, "max-topology-nodes", 10_000,
		"drop topologies of more than `N` nodes for each host; negative for no limit")
	s.maxBody = f.size("max-body", 16<<20, "refuse reports whose bodies are over `BYTES`")
	s.maxInflated = f.size("max-inflated", 64<<20, "refuse reports that inflate to over `BYTES`")
	f.IntVar(&s.maxConnections, "max-connections", 4096, "keep up to `N` connections open; one more takes the place of the "+
		"one that has waited longest for its client to send")
	f.DurationVar(&s.client, "client-timeout", 30*time.Second, "give clients a `DURATION` to send a report, and twice that to take an answer")
	s.ops = f.operations()
}

func (s *server) check() error {
	switch {
	case s.maxTopologyNodes == 0:
		return errors.New("--max-topology-nodes must not be 0: a negative number is for no limit")
	case s.maxConnections < 1:
		return errors.New("--max-connections must be above 0")
	case s.retention != 0 && s.retention < time.Hour:
		return fmt.Errorf("--retention %v: must be 0 or at least 1h", s.retention)
	}
	return errors.Join(positive("window", s.window), positive("tick", s.tick), positive("quantum", s.quantum),
		positive("client-timeout", s.client), notZero("max-pending", s.maxPending), notZero("memory", s.memory),
		notZero("max-body", s.maxBody), notZero("max-inflated", s.maxInflated))
}

func (s *server) run(ctx context.Context, p *process, args []string) (err error) {
	if len(args) > 0 {
		return usagef("%q is no flag: serve takes no arguments", args[0])
	}
	signal.Ignore(syscall.SIGPIPE) // whoever read our output may leave
	s.log = s.logging.logger(p.stderr)
	if err := s.openTenants(); err != nil {
		return err
	}
	s.store, err = s.place.open(ctx, setup{logger: s.log, metrics: s.metrics, retention: s.retention,
		instead: "stop it, or give --data another directory"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.ops.close(s.store.close)) }()
	if err := s.ops.begin(ctx, s.log); err != nil {
		return err
	}
	defer s.ops.end()
	if err := s.wire(); err != nil {
		return asUsage(err) // flags that do not fit together
	}
	listener, err := listen(ctx, "listen", s.listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "listening on %s://%s\n", s.ops.tls.scheme(), listener.Addr())
	return s.serve(ctx, p, reports.LimitConnections(listener, s.maxConnections))
}

// wire makes what the role says on the store, and its HTTP surface.
func (s *server) wire() error {
	s.metrics.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if s.role.role == roleQuery {
		return s.wireQuerier()
	}
	return s.wireCollector()
}

func (s *server) wireCollector() error {
	bus, carrier, err := s.nats.open(s)
	if err != nil {
		return err
	}
	c, err := reports.New(s.store.index, s.store.authority, &reports.Options{
		Live: bucket.CollectorOptions[*report.Report]{
			Window: s.window, Tick: s.tick, Alone: s.alone || s.place.embedded(),
			MaxPending: int64(*s.maxPending), MaxTenantPending: int64(*s.tenancy.maxPending),
			Committer: s.store.committer, Flushes: s.flushes(),
			Stored: func(string, index.Entry, int) { s.stored.Add(1) },
			Past:   bucket.QuantizerOptions[*report.Report]{Quantum: s.quantum, CacheBytes: int64(*s.memory)},
		},
		Store:            tiered.Options[*report.Report]{Memory: int64(*s.memory), Caches: s.store.caches},
		MaxInflated:      blobs.MaxBytes,
		MaxTopologyNodes: s.maxTopologyNodes,
		TracerProvider:   s.ops.tracing.provider,
		TenantRate:       s.tenancy.limit(),
		Tenants:          s.tenancy.table,
		Registerer:       s.metrics,
		Namespace:        namespace,
		Logger:           s.log,
		Bus:              bus,
		ShortcutCache:    carrier,
	})
	if err != nil {
		return err
	}
	s.runner = c
	h, err := reports.NewHandler(c, s.handlerOptions())
	if err != nil {
		return err
	}
	s.handler, s.web = h, reports.NewServer(h)
	return nil
}

// flushes is how many values are stored at a time: in a directory so many that
// they share its syncs; elsewhere the collector's default, as in Scope.
func (s *server) flushes() int {
	if s.place.embedded() {
		return 64
	}
	return 0
}

func (s *server) handlerOptions() *reports.HandlerOptions {
	return &reports.HandlerOptions{
		TenantHeader: s.tenantHeader, Tenants: s.tenancy.table,
		MaxBody: int64(*s.maxBody), MaxInflated: int64(*s.maxInflated),
		MaxBuffered: max(256<<20, int64(*s.maxBody)), ClientTimeout: s.client,
		TracerProvider: s.ops.tracing.provider, Propagator: s.ops.tracing.propagator,
		Version: version(), Role: string(s.role.role), Gatherer: s.metrics, Registerer: s.metrics, Logger: s.log,
	}
}

// serve answers requests until ctx ends or serving fails, and then stores what
// is left.
func (s *server) serve(ctx context.Context, p *process, listener net.Listener) error {
	defer s.tenancy.watch(ctx)()
	running := make(chan error, 2)
	go func() { running <- s.runner.Run(context.WithoutCancel(ctx)) }()
	go func() { running <- s.ops.tls.serve(s.web, listener) }()
	s.log.Info("serving", "role", string(s.role.role), "address", listener.Addr().String(), "store", s.place.String())
	var failed error
	left := 2
	select {
	case <-ctx.Done():
		s.log.Info("stopping: storing what is left")
	case failed = <-running:
		left--
	}
	err := errors.Join(failed, s.ops.stop(func(ctx context.Context) error {
		err := s.stop(ctx, p, listener, left == 2)
		for range left {
			if e := <-running; !closed(e) {
				err = errors.Join(err, e)
			}
		}
		return err
	}))
	s.log.Info("stopped", "values_stored", s.stored.Load())
	return err
}

// closed tells whether an error says no more than that there was a stop, which
// may have come before what it stopped had begun.
func closed(err error) bool {
	return errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) || errors.Is(err, bucket.ErrClosed)
}
