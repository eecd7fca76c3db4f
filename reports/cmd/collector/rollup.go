package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/merged"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/rollups"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
	"github.com/timeblob/timeblob/reports/report"
)

var rollupCommand = cli.Command{
	Name: "rollup",
	Usage: []string{
		"[--data DIR] [--tenant ID]… [--start TIME] [--end TIME] [--verify] [--rollup-spans DURATIONS] [--rollup-lateness DURATION] " +
			"[--blob-format FORMAT]",
		"--index URL --blobs URL [--cache URL] --rollup-shared [--tenant ID]… [--start TIME] …",
	},
	Brief: "builds the roll-ups that a store lacks, and checks the others",
	About: `A roll-up is the stored merge of a whole minute, hour or day. The command builds those of the range that are
missing, oldest first, and counts them by level. Spans that ended less than --rollup-lateness ago, and spans
that another process is building, are left alone. It may be interrupted and repeated, and other collectors
may build at the same time: no span is built twice.

With --verify it also merges the reports of each roll-up again and compares. A roll-up that differs is built
again; the exit code is then 1.

` + cli.TimeHelp + "\n\n" + stores.Help,
	Define: func(f *cli.Flags) cli.Action {
		r := &rolling{}
		r.define(f)
		return r.run
	},
}

// rolling holds the flags of the command.
type rolling struct {
	place      *stores.Place
	levels     *rollups.Flags
	tenants    tenantList
	start, end *cli.Instant
	verify     bool
}

func (r *rolling) define(f *cli.Flags) {
	r.place = stores.DefineFlags(f, stores.DefaultDir).DefineFormat(f)
	f.Exclusive([]string{"data"}, stores.FlagNames)
	r.levels = rollups.Define(f)
	r.start = f.Instant("start", "look at spans from this `TIME` on; default: everything before --end")
	r.end = f.Instant("end", "look at spans before this `TIME`; default: everything after --start")
	f.Var(&r.tenants, "tenant", "look at the tenant of an `ID` only; repeat it, or separate IDs by commas, for more")
	f.BoolVar(&r.verify, "verify", false, "compare the roll-ups that are there with the reports in them, too")
	f.Must(r.place.Check)
	f.Must(r.check)
}

func (r *rolling) check() error {
	if !r.levels.On(r.place.Embedded()) {
		return errors.New("a table needs --rollup-shared: others may write it")
	}
	from, to := r.span()
	if to.Before(from) {
		return errors.New("--end is before --start")
	}
	return errors.Join(r.levels.Check(r.place.Embedded(), nil), cli.InRange(from), cli.InRange(to))
}

// span returns the range to look at. Without flags it is all of time.
func (r *rolling) span() (from, to time.Time) {
	from, to = time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)
	if r.start.Text != "" {
		from = r.start.Time
	}
	if r.end.Text != "" {
		to = r.end.Time
	}
	return from, to
}

func (r *rolling) run(ctx context.Context, p *cli.Process, args []string) (err error) {
	if len(args) > 0 {
		return cli.Usagef("%q is no flag: rollup takes no arguments", args[0])
	}
	warnOfJournal(p, r.place)
	store, err := r.place.Open(ctx, stores.Options{Logger: telemetry.Warnings(p.Stderr), Existing: true, Instead: "stop it"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	o := r.levels.Options(r.place.Embedded(), nil, 0)
	o.Logger = telemetry.Warnings(p.Stderr)
	values, past, err := merged.Past(store, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, values.Close(ctx)) }()
	err = r.all(ctx, p, store, past)
	if err != nil && ctx.Err() != nil {
		return cli.ErrInterrupted
	}
	return err
}

// all goes through the tenants, and says what was done also when it fails. An error that is not one of single
// spans would come again for every tenant, so it ends the work.
func (r *rolling) all(ctx context.Context, p *cli.Process, store *stores.Store, past *bucket.Quantizer[*report.Report]) error {
	tenants, err := r.chosen(ctx, store.Index)
	if err != nil {
		return err
	}
	begin := time.Now()
	shown := terminal.StartProgress(p.Stderr, "roll up", "tenant", len(tenants))
	t := &terminal.Table{Head: true}
	t.Row("tenant", "built", "not worth it", "waiting", "failed", "verified", "different")
	var sum bucket.RollUpDone
	var failed error
	for i, tenant := range tenants {
		done, err := r.one(ctx, store, past, tenant)
		t.Row(cmp.Or(tenant, "the default tenant"), fmt.Sprint(done.Built), fmt.Sprint(done.Void), fmt.Sprint(done.Waiting),
			fmt.Sprint(done.Failed), fmt.Sprint(done.Verified), fmt.Sprint(done.Differ))
		sum.Built, sum.Verified, sum.Differ = sum.Built+done.Built, sum.Verified+done.Verified, sum.Differ+done.Differ
		failed = errors.Join(failed, r.levels.Explain(err))
		if err != nil && done.Failed == 0 {
			if shown.End(); i == 0 && done == (bucket.RollUpDone{}) {
				return failed // there is nothing to show
			}
			break
		}
		shown.Reach(i + 1)
	}
	shown.End()
	if err := t.Write(p.Stdout); err != nil {
		return err
	}
	fmt.Fprintf(p.Stdout, "%s built and %s verified, of %s, in %v\n", human.Plural(sum.Built, "roll-up"),
		human.Plural(sum.Verified, "roll-up"), human.Plural(len(tenants), "tenant"), time.Since(begin).Round(time.Millisecond))
	if sum.Differ > 0 {
		failed = errors.Join(failed, fmt.Errorf("roll-ups that differed from the reports in them, and were built again: %d; the log names each", sum.Differ))
	}
	return failed
}

// one goes through the spans of a tenant, from its first report or roll-up on.
func (r *rolling) one(ctx context.Context, store *stores.Store, past *bucket.Quantizer[*report.Report], tenant string) (bucket.RollUpDone, error) {
	from, to := r.span()
	first := to
	for e, err := range store.Entries(ctx, tenant, from.UnixNano(), to.UnixNano()) {
		if err != nil {
			return bucket.RollUpDone{}, err
		}
		first = time.Unix(0, e.Time)
		break
	}
	levels, err := past.LevelSpans(ctx, tenant, from, to)
	if err != nil {
		return bucket.RollUpDone{}, err
	}
	for _, l := range levels { // roll-ups may outlive the reports in them
		if l.Sealed > 0 && l.First.Before(first) {
			first = l.First
		}
	}
	return past.RollUp(ctx, tenant, first, to, &bucket.RollUpOptions{Verify: r.verify})
}

// chosen returns the tenants to look at.
func (r *rolling) chosen(ctx context.Context, idx index.Index) ([]string, error) {
	if len(r.tenants) > 0 {
		return r.tenants, nil
	}
	return rollups.Tenants(ctx, idx)
}
