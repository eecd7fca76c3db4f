package main

import (
	"context"
	"errors"
	"math"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/tenants"
)

// tenantForms is the part of help about the tenants file.
const tenantForms = `Each line of the file of --tenants is about one tenant. It begins with the tenant's id; "" is the id of the
single tenant. Credentials and limits follow in any order. Credentials, as many as you like: token=TEXT, or
token=sha256:HEX with the sum that "printf %s TEXT | sha256sum" prints; basic=USER:PASS, or basic=sha256:HEX
with the sum of USER:PASS, for HTTP basic authentication as Scope's --probe.basicAuth sends it. Limits, in
place of --tenant-rate, --max-tenant-pending, --max-body and --max-inflated: rate=N, pending=64MiB, size=4MiB
and inflated=32MiB. What follows a # is a comment. Once the file holds credentials, requests need them, except
for /, /metrics, /healthz and /readyz; a token as "Authorization: Bearer TEXT" or as a probe's own "Scope-Probe
token=TEXT". The credentials then say which tenant a request is for. With --tenant-header, a line that begins with * holds the tokens of
peers, such as query services, which name the tenant of each request. The file is read again when it
changes; one that is broken changes nothing, and is logged.`

// tenancy holds serve's flags for tenants, and the tenants file.
type tenancy struct {
	path       string
	rate       float64
	max        int
	maxPending *cli.Size

	file *tenants.File // nil without a tenants file
}

func defineTenants(f *cli.Flags) *tenancy {
	t := &tenancy{}
	f.StringVar(&t.path, "tenants", "", "take tokens and limits of tenants from `FILE`, and again when it changes")
	f.Float64Var(&t.rate, "tenant-rate", 1000,
		"refuse what a tenant posts above `N` reports a second, and 2N at once; 0 for no limit")
	t.maxPending = f.Size("max-tenant-pending", 0,
		"refuse a tenant's reports while more than `BYTES` of its own wait to be stored; 0 for a quarter of "+
			"--max-pending, and for all of it where there is a single tenant")
	f.IntVar(&t.max, "max-tenants", 100_000, "refuse reports of a new tenant with status 503 while `N` tenants have "+
		"reports in memory: each takes memory, and a row of the index an hour")
	f.Must(t.check)
	return t
}

func (t *tenancy) check() error {
	if !(t.rate >= 0) || math.IsInf(t.rate, 0) { // written so that NaN is refused too
		return errors.New("--tenant-rate must be a number of reports, 0 for no limit")
	}
	return cli.AtLeastOne("max-tenants", t.max)
}

// open reads the tenants file, if there is one.
func (t *tenancy) open(opts *tenants.Options) (err error) {
	if t.path != "" {
		t.file, err = tenants.Open(t.path, opts)
	}
	return err
}

// table returns the file's content at the moment.
func (t *tenancy) table() *tenants.Table {
	if t.file == nil {
		return nil
	}
	return t.file.Table()
}

// limit returns the rate in the form of the collector's options.
func (t *tenancy) limit() float64 {
	if t.rate == 0 {
		return -1
	}
	return t.rate
}

// watch reads the file again when it changes, until stop is called.
func (t *tenancy) watch(ctx context.Context) (stop func()) {
	if t.file == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.file.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}
