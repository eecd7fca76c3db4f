package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/rollups"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
)

var copyCommand = cli.Command{
	Name: "copy",
	Usage: []string{"--from STORE --to STORE [--tenant ID]… [--start TIME] [--end TIME] " +
		"[--create] [--rollup-shared] [--parallel N]"},
	Brief: "copies what one store holds to another",
	About: `A STORE is a directory that no running collector holds, as ./data or dir:./data, or a table of DynamoDB and
a bucket of S3: their URLs with a comma between them, as dynamodb://us-east-1/reports,s3://us-east-1/reports;
"collector help serve" says more about URLs. Every value keeps its instant and its key.

It may be interrupted and repeated, also while collectors write to the tables: what is there
already is counted as present and not read. A value whose blob is missing, or whose instant is taken at the
destination, is named; the others are copied, and the exit code is 1. A table of few provisioned units is
copied at their pace, and other users of the table share them.

Roll-ups are copied after the reports, those too whose reports retention has removed, so that the copy answers as
the source does. A roll-up is left out where the destination has other reports in its span, and can be built there:
"collector rollup". A destination that has none yet gets the source's lengths of roll-ups and its retention; for
a table, --rollup-shared says as with serve that every process which writes it knows roll-ups, and roll-ups are
written seven minutes later, when each has learned of them.

` + cli.TimeHelp,
	Define: func(f *cli.Flags) cli.Action {
		c := &copying{}
		c.define(f)
		return c.run
	},
}

// copying holds the flags of a copy.
type copying struct {
	fromText, toText string
	create, shared   bool
	start, end       *cli.Instant
	tenants          tenantList
	parallel         int

	from, to *stores.Place
}

func (c *copying) define(f *cli.Flags) {
	f.StringVar(&c.fromText, "from", "", "copy from this `STORE`")
	f.StringVar(&c.toText, "to", "", "copy to this `STORE`")
	f.BoolVar(&c.create, "create", false, "create the destination's table and bucket if they do not exist")
	f.BoolVar(&c.shared, "rollup-shared", false, "every process that writes the destination's table knows roll-ups, or stores nothing old")
	c.start = f.Instant("start", "copy from this `TIME` on; default: everything before --end")
	c.end = f.Instant("end", "copy up to, but not including, this `TIME`; default: everything after --start")
	f.Var(&c.tenants, "tenant", "copy only the tenant of an `ID`; repeat it, or separate IDs by commas, for more")
	f.IntVar(&c.parallel, "parallel", 16, "copy `N` blobs at a time, which are in memory")
	f.Must(c.check)
}

func (c *copying) check() (err error) {
	if c.fromText == "" || c.toText == "" {
		return errors.New("give --from and --to")
	}
	if c.from, err = stores.Parse("--from", c.fromText); err != nil {
		return err
	}
	if c.to, err = stores.Parse("--to", c.toText); err != nil {
		return err
	}
	if c.create && c.to.Embedded() {
		return errors.New("--create is for tables and buckets: a directory is made when it is not there")
	}
	if c.shared && c.to.Embedded() {
		return errors.New("--rollup-shared is for a table: a directory has one writer")
	}
	c.to.Create = c.create
	return errors.Join(c.checkSpan(), cli.AtLeastOne("parallel", c.parallel))
}

func (c *copying) checkSpan() error {
	for _, i := range []*cli.Instant{c.start, c.end} {
		if i.Text == "" {
			continue
		}
		if err := cli.InRange(i.Time); err != nil {
			return err
		}
	}
	if from, to := c.span(); to < from {
		return errors.New("--end is before --start")
	}
	return nil
}

// span returns the instants to copy. Without flags these are all except the last nanosecond, which no range
// contains.
func (c *copying) span() (from, to int64) {
	from, to = math.MinInt64, math.MaxInt64
	if c.start.Text != "" {
		from = c.start.UnixNano()
	}
	if c.end.Text != "" {
		to = c.end.UnixNano()
	}
	return from, to
}

func (c *copying) run(ctx context.Context, p *cli.Process, args []string) (err error) {
	if len(args) > 0 {
		return cli.Usagef("%q is no flag: copy takes no arguments", args[0])
	}
	warnOfJournal(p, c.from)
	source, err := c.from.Open(ctx, stores.Options{Logger: telemetry.Warnings(p.Stderr), Existing: true, Instead: "stop it"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := c.to.Open(ctx, stores.Options{Logger: telemetry.Warnings(p.Stderr), Instead: "stop it"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	k := newCopier(p, source, target, c.parallel)
	k.from, k.to = c.span()
	if err = k.copy(ctx, c.tenants); ctx.Err() == nil && !errors.Is(err, errGaveUp) {
		r := rollups.Copier{Process: p, Source: k.source, Target: k.target, Owned: c.to.Embedded(), Shared: c.shared,
			From: time.Unix(0, k.from), To: time.Unix(0, k.to), Parallel: c.parallel}
		err = errors.Join(err, r.Copy(ctx, c.tenants, k.have))
	}
	return err
}

// tenantList is a flag that holds tenants' IDs. An empty list means all tenants.
type tenantList []string

func (l *tenantList) String() string { return strings.Join(*l, ",") }

// Set adds IDs.
func (l *tenantList) Set(text string) error {
	for id := range strings.SplitSeq(text, ",") {
		if err := index.CheckTenant(id); err != nil {
			return err
		}
		if !slices.Contains(*l, id) {
			*l = append(*l, id)
		}
	}
	return nil
}
