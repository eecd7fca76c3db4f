package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/merged"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/remote"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/view"
	"github.com/timeblob/timeblob/reports/report"
)

var queryCommand = cli.Command{
	Name: "query",
	Usage: []string{
		"(--data DIR | --from URL) --at TIME [--window 15s] [--tenant ID] [--json] [--partial]",
		"(--data DIR | --from URL) --start TIME --end TIME [--tenant ID] [--json] [--partial] [--round]",
		"--index URL --blobs URL [--cache URL] (--at TIME | --start TIME --end TIME) …",
		"--from URL … [--tenant-header NAME] [--token TOKEN] [--timeout DURATION] [--ca FILE] [--cert FILE --key FILE]",
	},
	Brief: "shows the merge of a window of time",
	About: `The answer is the merge of everything received from START on and before END, or in the window before AT.
It comes from a directory that no running collector holds, from a table and a bucket, or from a collector.
A collector answers --at now and --end now by its own clock, and with what it has not stored yet as well;
without --window, --start and --end it takes its own window.

` + cli.TimeHelp + "\n\n" + stores.Help,
	Define: func(f *cli.Flags) cli.Action {
		q := &question{}
		q.define(f)
		return q.run
	},
}

// question is what to ask, and which store or collector.
type question struct {
	place          *stores.Place
	from           string
	tenant         *string
	remote         *remote.Flags
	at, start, end *cli.Instant
	window         time.Duration
	json           bool
	partial, round bool
	chosen         func(flag string) bool
}

// define defines the flags of a query.
func (q *question) define(f *cli.Flags) {
	q.tenant, q.chosen = f.Tenant(), f.Chosen
	q.place = stores.DefineFlags(f, "")
	f.StringVar(&q.from, "from", "", "the `URL` of a running collector")
	q.at = f.Instant("at", "answer about the window that ends before this `TIME`")
	f.DurationVar(&q.window, "window", 15*time.Second, "the length of the window, a `DURATION`")
	q.start = f.Instant("start", "answer about the range from this `TIME` on")
	q.end = f.Instant("end", "the end of the range: a `TIME` that is not part of it")
	f.BoolVar(&q.json, "json", false, "write the report as JSON")
	f.BoolVar(&q.partial, "partial", false, "answer without the stored reports that cannot be read; warnings name them")
	f.BoolVar(&q.round, "round", false, "when only roll-ups are left at an edge of the range, answer about the nearest range that they allow")
	q.remote = remote.DefineFlags(f, q.tenant)
	f.Exclusive([]string{"data"}, []string{"from"}, stores.FlagNames)
	f.Exclusive([]string{"at", "window"}, []string{"start", "end"})
	f.Must(q.place.Check)
	f.Must(q.check)
}

func (q *question) check() error {
	switch {
	case q.place.Embedded() && q.place.Data == "" && q.from == "":
		return errors.New("give --data or --from, or --index and --blobs")
	case q.at.Text == "" && (q.start.Text == "" || q.end.Text == ""):
		return errors.New("give --at, or --start and --end")
	case q.window <= 0:
		return cli.Positive("window", q.window)
	}
	from, to := q.span()
	if to.Before(from) {
		return errors.New("--end is before --start")
	}
	return errors.Join(cli.InRange(from), cli.InRange(to))
}

func (q *question) run(ctx context.Context, p *cli.Process, args []string) error {
	if len(args) > 0 {
		return cli.Usagef("%q is no flag: query takes no arguments", args[0])
	}
	r, facts, err := q.answer(ctx, p)
	if err != nil {
		return err
	}
	if q.json {
		return view.WriteJSON(p.Stdout, r)
	}
	return view.Write(p.Stdout, "", r, facts...)
}

// answer returns the report and the facts to show with it.
func (q *question) answer(ctx context.Context, p *cli.Process) (*report.Report, []view.Fact, error) {
	if q.from != "" {
		return q.askRemote(ctx, p)
	}
	warnOfJournal(p, q.place)
	s, err := q.place.Open(ctx, stores.Options{Logger: telemetry.Warnings(p.Stderr), Existing: true,
		Instead: "ask it with --from URL in place of --data, or stop it"})
	if err != nil {
		return nil, nil, err
	}
	from, to := q.span()
	a, err := merged.Read(ctx, s, *q.tenant, from, to, &bucket.RangeOptions{Partial: q.partial, Round: q.round})
	if err := errors.Join(err, s.Close()); err != nil {
		return nil, nil, err
	}
	for _, m := range a.Missing {
		p.Warn("warning: the answer is without the entry %s of %s: %v", m.Key, human.Time(m.Time), m.Err)
	}
	facts := []view.Fact{q.rangeFact(), {Name: "merged", Value: human.Plural(a.Values, "stored value")}}
	if !a.To.IsZero() {
		facts = append(facts, answered(human.Time(a.From)+" to "+human.Time(a.To)))
	}
	return a.Report, facts, nil
}

// span returns the range of the question.
func (q *question) span() (from, to time.Time) {
	if q.at.Text != "" {
		return q.at.Add(-q.window), q.at.Time
	}
	return q.start.Time, q.end.Time
}

func (q *question) rangeFact() view.Fact {
	from, to := q.span()
	return view.Fact{Name: "range", Value: fmt.Sprintf("%s to %s (%s)", human.Time(from), q.untilText(), human.Duration(to.Sub(from)))}
}

// askRemote asks a collector or a query service. When parts of the answer are missing it says so on standard
// error, also with --json.
func (q *question) askRemote(ctx context.Context, p *cli.Process) (*report.Report, []view.Fact, error) {
	c, err := q.remote.At(q.from, 1)
	if err != nil {
		return nil, nil, err
	}
	defer c.HTTP.CloseIdleConnections()
	a, err := c.Ask(ctx, q.parameters())
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", q.from, err)
	}
	if a.Missing != "" {
		p.Warn("warning: the answer may lack reports: %s", a.Missing)
	}
	if q.ownWindow() {
		return a.Report, []view.Fact{{Name: "range", Value: "the collector's window before " + q.untilText()}}, nil
	}
	facts := []view.Fact{q.rangeFact()}
	if a.Range != "" {
		facts = append(facts, answered(a.Range))
	}
	return a.Report, facts, nil
}

// answered is the range that was answered in place of the one that was asked for.
func answered(text string) view.Fact { return view.Fact{Name: "answered", Value: text} }

// ownWindow reports whether the collector should use its own window.
func (q *question) ownWindow() bool { return q.at.Text != "" && !q.chosen("window") }

// untilText writes the end of the range. "now" stays a word, because the collector's clock decides.
func (q *question) untilText() string {
	if q.from != "" && (q.at.IsNow() || q.end.IsNow()) {
		return "now"
	}
	_, to := q.span()
	return human.Time(to)
}

// parameters returns the question in the form of the collector's API.
func (q *question) parameters() url.Values {
	values := q.rangeParameters()
	if q.partial {
		values.Set("partial", "true")
	}
	if q.round {
		values.Set("round", "true")
	}
	return values
}

// rangeParameters returns the parameters of the range. They leave out the present:
// by our clock it may lie in the collector's past, and an answer about the past
// holds only what is stored already.
func (q *question) rangeParameters() url.Values {
	from, to := q.span()
	start, end := from.UTC().Format(time.RFC3339Nano), to.UTC().Format(time.RFC3339Nano)
	switch {
	case q.at.IsNow() && q.ownWindow():
		return url.Values{}
	case q.at.IsNow():
		return url.Values{"window": {q.window.String()}}
	case q.ownWindow():
		return url.Values{"timestamp": {end}}
	case q.end.IsNow():
		return url.Values{"start": {start}}
	}
	return url.Values{"start": {start}, "end": {end}}
}
