package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"time"
)

// options are the values of the flags.
type options struct {
	url, collector string
	store          string
	serve          []string // arguments for collector serve
	header         string
	reports        string

	tenants, nodes  int
	every, duration time.Duration
	questions       float64
	verify          int

	once, rate int
	settle     time.Duration
	kills      int
	outage     time.Duration
	patience   time.Duration // how long the collector may take to store what it holds when it is stopped

	sample, progress time.Duration
	json             bool
}

// parse parses the arguments. It writes errors to stderr.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{patience: time.Minute}
	f := o.flags()
	f.SetOutput(stderr)
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	o.serve = f.Args()
	if err := o.check(); err != nil {
		fmt.Fprintf(stderr, "load: %v (-h tells more)\n", err)
		return nil, err
	}
	return o, nil
}

func (o *options) flags() *flag.FlagSet {
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.StringVar(&o.url, "url", "", "drive the collector at this `URL`, which needs a tenant header, instead of starting one")
	f.StringVar(&o.collector, "collector", "", "start this `PROGRAM`; default: build the collector from this source")
	f.StringVar(&o.store, "store", storeDirectory, "start it on a `STORE`: directory; aws, which is DynamoDB Local, versitygw and "+
		"memcached, started for the run; or flags, where --index, --blobs and others after -- name it")
	f.StringVar(&o.header, "tenant-header", "X-Scope-OrgID", "the `NAME` of the header that names the tenant")
	f.StringVar(&o.reports, "reports", "reports/testdata/corpus/k8s-node", "post the reports in this `DIR` in turn")
	f.IntVar(&o.tenants, "tenants", 1000, "`N` tenants post")
	f.IntVar(&o.nodes, "nodes", 1, "each tenant has `N` nodes, and each of them posts")
	f.DurationVar(&o.every, "every", 3*time.Second, "each node posts every `DURATION`; tenants and their nodes are evenly spread")
	f.DurationVar(&o.duration, "duration", 5*time.Minute, "run for a `DURATION`")
	f.Float64Var(&o.questions, "questions", 20, "ask `N` questions a second, half of them about now and half about a window before")
	f.IntVar(&o.verify, "verify", 20, "at the end, ask `N` tenants for everything they posted")
	f.IntVar(&o.once, "once", 0, "instead, let `N` tenants post a tiny report once each and watch memory")
	f.IntVar(&o.rate, "rate", 2000, "with -once, at most `N` posts a second")
	f.DurationVar(&o.settle, "settle", 5*time.Minute, "with -once, give memory a `DURATION` to come back")
	f.IntVar(&o.kills, "kills", 0, "instead, kill the collector `N` times with SIGKILL while up to 16 tenants post, and count what is lost or "+
		"stored twice; on aws the bucket does not answer in every third life")
	f.DurationVar(&o.outage, "outage", 0, "with -store aws, the bucket does not answer for a `DURATION`, from a third of the rest of -duration on")
	f.DurationVar(&o.sample, "sample", 2*time.Second, "read the collector's metrics every `DURATION`")
	f.DurationVar(&o.progress, "progress", 5*time.Second, "report progress every `DURATION`")
	f.BoolVar(&o.json, "json", false, "show the result as JSON")
	f.Usage = func() {
		fmt.Fprint(f.Output(), "load drives a collector as many tenants would and says what that took.\n\n"+
			"Usage: load [FLAG…] [-- FLAG…]\n\nFlags after -- are those of \"collector serve\".\n\nFlags:\n")
		f.PrintDefaults()
	}
	return f
}

func (o *options) check() error {
	switch {
	case o.tenants < 1 || o.nodes < 1 || o.every <= 0 || o.duration <= 0:
		return errors.New("-tenants, -nodes, -every and -duration must be above 0")
	case o.sample <= 0 || o.progress <= 0 || o.rate <= 0 || o.settle <= 0:
		return errors.New("-sample, -progress, -rate and -settle must be above 0")
	case o.questions < 0 || o.verify < 0 || o.once < 0 || o.kills < 0 || o.outage < 0:
		return errors.New("-questions, -verify, -once, -kills and -outage must not be negative")
	case o.kills > 0 && (o.url != "" || o.once > 0 || o.store == storeFlags):
		return errors.New("-kills needs a collector and a store that it starts, and is not for -once")
	case o.outage > 0 && (o.store != storeAWS || o.once > 0 || o.kills > 0 || o.outage >= o.duration):
		return errors.New("-outage must be shorter than -duration, needs -store aws, and is not for -once and -kills")
	case o.url != "" && (o.collector != "" || len(o.serve) > 0):
		return errors.New("with -url there is no collector to start: leave out -collector and what follows --")
	}
	return o.checkStore()
}

// checkStore refuses a kind of store that is not known, and one beside a URL.
func (o *options) checkStore() error {
	switch {
	case o.store != storeDirectory && o.store != storeAWS && o.store != storeFlags:
		return fmt.Errorf("-store %q: must be %s, %s or %s", o.store, storeDirectory, storeAWS, storeFlags)
	case o.url != "" && o.store != storeDirectory:
		return errors.New("with -url there is no collector to start: leave out -store")
	}
	return nil
}
