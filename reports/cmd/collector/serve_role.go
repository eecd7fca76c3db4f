package main

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/address"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/tlsfiles"
	"github.com/timeblob/timeblob/reports/peers"
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
	case r.role != roleQuery && (r.tls.Given() || r.resolver != nil):
		return errors.New("--collector-ca, --collector-cert, --collector-key and --resolver go with --role query")
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
