package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/address"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/backup"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/remote"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/rollups"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/reports/connlimit"
	"github.com/timeblob/timeblob/reports/httpapi"
	"github.com/timeblob/timeblob/reports/tenants"
)

var serveCommand = cli.Command{
	Name: "serve",
	Usage: []string{
		"[--listen ADDRESS] [--data DIR] [--tenant-header NAME] …",
		"[--role collector] --index URL --blobs URL [--cache URL] [--create] …",
		"--role query --collectors LIST --index URL --blobs URL [--cache URL] …",
	},
	Brief: "takes what probes post, stores it and answers questions",
	About: `Probes post to it, and query services and people ask it, at the address that it prints once it listens.
What arrives within a tick is merged and stored at its end. On SIGTERM, SIGHUP or an interrupt it takes no
more requests, stores what it holds, and exits with 0; with 1 when something could not be stored, which it
names. A second signal ends it at once. The log goes to standard error: it needs no signal to be rotated.

` + roleForms + `

` + stores.Help + `

` + opsForms + `

` + journalForms + `

` + rollups.Forms + `

` + memoryHelp + `

With a table, --retention has DynamoDB's TTL remove entries; what removes their blobs is a lifecycle rule
of the bucket, which should keep them for a day longer.

` + tenantForms,
	Define: func(f *cli.Flags) cli.Action {
		s := &server{}
		s.defineStore(f)
		s.defineHTTP(f)
		s.role = defineRole(f)
		f.Must(func() error {
			if !f.Chosen("alone") {
				s.alone = s.role.role == roleAll
			}
			return s.checkRole()
		})
		f.Must(s.checkJournal)
		s.tenancy = defineTenants(f)
		s.logging = telemetry.DefineLogging(f)
		f.Must(s.check)
		return s.run
	},
}

func (s *server) defineStore(f *cli.Flags) {
	s.metrics = prometheus.NewRegistry()
	s.place = stores.DefineFlags(f, stores.DefaultDir).DefineCreate(f).DefineFormat(f)
	f.Exclusive([]string{"data"}, stores.FlagNames)
	f.Must(s.place.Check)
	s.journal = defineJournal(f)
	s.nats = natsFlags(f)
	f.BoolVar(&s.alone, "alone", false, "no other collector takes the tenants' reports: until this one has run for a "+
		"window, the present is what is stored as well; so with --role all unless --alone=false says otherwise, always with --data")
	f.DurationVar(&s.window, "window", 15*time.Second, "how far back a question reaches: a `DURATION`")
	f.DurationVar(&s.tick, "tick", 3*time.Second, "how often what arrived is stored, merged: every `DURATION`")
	f.DurationVar(&s.quantum, "quantum", 3*time.Second, "cache stored reports merged by slices of a `DURATION`")
	f.Var(&s.keep, "retention", "remove hours that ended more than a `DURATION` ago; 0 for never; raw=7d,1m=30d,1h=400d keeps "+
		"roll-ups longer than the reports in them")
	s.levels = rollups.Define(f)
	s.levels.DefineBuilder(f)
	s.maxPending = f.Size("max-pending", 1<<30, "refuse reports while more than `BYTES` wait to be stored")
	s.flushing = defineFlushes(f)
	s.memory = f.Size("memory", 256<<20, "keep up to `BYTES` of stored reports, and as many of merges, in memory")
}

func (s *server) defineHTTP(f *cli.Flags) {
	f.StringVar(&s.listen, "listen", "127.0.0.1:4040", "the `ADDRESS` to serve at; port 0 takes a free one")
	f.StringVar(&s.tenantHeader, "tenant-header", "",
		"the `NAME` of the request header that says the tenant, in Scope "+remote.TenantHeader+"; empty for a single tenant")
	f.IntVar(&s.maxTopologyNodes, "max-topology-nodes", 10_000,
		"drop topologies of more than `N` nodes for each host; negative for no limit")
	s.maxBody = f.Size("max-body", 16<<20, "refuse reports whose bodies are over `BYTES`")
	s.maxInflated = f.Size("max-inflated", 64<<20, "refuse reports that inflate to over `BYTES`")
	f.IntVar(&s.maxConnections, "max-connections", 4096, "keep up to `N` connections open; one more takes the place of the "+
		"one that has waited longest for its client to send")
	f.DurationVar(&s.client, "client-timeout", 30*time.Second, "give clients a `DURATION` to send a report, and twice that to take an answer")
	s.ops = defineOperations(f)
}

func (s *server) check() error {
	if err := address.CheckListen(s.listen); err != nil {
		return stores.Named("--listen", err)
	}
	switch {
	case s.place.Embedded() && s.place.Data == "":
		return errors.New("--data must not be empty: name a directory")
	case s.maxTopologyNodes == 0:
		return errors.New("--max-topology-nodes must not be 0: a negative number is for no limit")
	case s.maxConnections < 1:
		return errors.New("--max-connections must be above 0")
	}
	if err := httpapi.CheckTenantHeader(s.tenantHeader); err != nil {
		return stores.Named("--tenant-header", err)
	}
	return errors.Join(s.checkTimes(), s.levels.Check(s.place.Embedded(), s.keep), cli.Positive("client-timeout", s.client), cli.NotZero("max-pending", s.maxPending), cli.NotZero("memory", s.memory),
		cli.NotZero("max-body", s.maxBody), cli.NotZero("max-inflated", s.maxInflated))
}

// maxWindow is the longest range that one question may have.
const maxWindow = 31 * 24 * time.Hour

// checkTimes checks the window, the tick and the quantum.
func (s *server) checkTimes() error {
	if err := errors.Join(cli.Positive("window", s.window), cli.Positive("tick", s.tick), cli.Positive("quantum", s.quantum)); err != nil {
		return err
	}
	switch {
	case s.window < s.tick:
		return fmt.Errorf("--window %v: is shorter than a tick, which is %v: give --window more, or --tick less", s.window, s.tick)
	case s.window > maxWindow:
		return fmt.Errorf("--window %v: must be at most %v", s.window, maxWindow)
	}
	return errors.Join(cli.AtLeast("tick", s.tick, time.Millisecond), cli.AtLeast("quantum", s.quantum, time.Millisecond))
}

func (s *server) run(ctx context.Context, p *cli.Process, args []string) (err error) {
	if len(args) > 0 {
		return cli.Usagef("%q is no flag: serve takes no arguments", args[0])
	}
	signal.Ignore(syscall.SIGPIPE) // the process that reads our output may end
	s.log = s.logging.Logger(p.Stderr)
	if err := s.tenancy.open(&tenants.Options{NoPeers: s.tenantHeader == "", Registerer: s.metrics,
		Namespace: stores.Namespace, Logger: s.log}); err != nil {
		return stores.Named("--tenants", err)
	}
	if err := s.ops.tls.Read(s.log); err != nil {
		return err
	}
	listener, err := listen(ctx, "listen", s.listen) // before the store is made, so that a port in use leaves none behind
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := s.ops.debug.listen(ctx); err != nil {
		return err
	}
	s.store, err = s.place.Open(ctx, stores.Options{Logger: s.log, Metrics: s.metrics, Retention: rollups.Stored(s.place.Embedded(), s.keep), RollUpsFirst: s.keep.Outlives(),
		NoLog: s.journal.replacesLog(s.role.role), Instead: "stop it, or give --data another directory"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.ops.close(s.store.Close)) }()
	defer s.serveBackups()()
	if err := s.openJournal(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.ops.close(s.journal.close)) }()
	if err := s.ops.begin(ctx, s.log); err != nil {
		return err
	}
	defer s.ops.end()
	if err := s.wire(); err != nil {
		return cli.AsUsage(err) // flags that contradict each other
	}
	limitMemory(s.log, memlimit.FromCgroup)
	fmt.Fprintf(p.Stdout, "listening on %s://%s\n", s.ops.tls.Scheme(), listener.Addr())
	return s.serve(ctx, p, connlimit.Listen(listener, s.maxConnections))
}

// serveBackups lets "collector backup" reach this process, until stop is called.
func (s *server) serveBackups() (stop func()) {
	if s.store.Backup == nil {
		return func() {}
	}
	stop, err := backup.Serve(s.place.Data, s.store.Backup)
	if err != nil {
		s.log.Warn("collector backup cannot be used while this process runs", "err", err)
		return func() {}
	}
	return stop
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

// checkJournal refuses a journal for a server that takes no reports.
func (s *server) checkJournal() error {
	if s.role.role == roleQuery && s.journal.dir != "" {
		return errors.New("--journal is not for --role query, which takes no reports")
	}
	return nil
}

// openJournal opens the journal of a server that takes reports.
func (s *server) openJournal() error {
	if s.role.role == roleQuery {
		return nil
	}
	if err := s.journal.start(s.place, s.window, s.metrics, s.log); err != nil || s.journal.open == nil {
		return err
	}
	if err := s.journal.relies(s.place, s.store, s.log); err != nil {
		return errors.Join(err, s.journal.close())
	}
	s.journal.takes(s.store, s.log)
	return nil
}
