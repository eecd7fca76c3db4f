package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/timeblob/timeblob/reports/report"
)

var queryCommand = command{
	name: "query",
	usage: []string{
		"(--data DIR | --from URL) --at TIME [--window 15s] [--json]",
		"(--data DIR | --from URL) --start TIME --end TIME [--json]",
		"--index URL --blobs URL [--cache URL] (--at TIME | --start TIME --end TIME) …",
	},
	brief: "shows the merge of a window of time",
	about: `The answer is the merge of everything received from START on and before END, or in the window before AT.
It comes from a directory that no running collector holds, from a table and a bucket, or from a collector.
A collector answers --at now and --end now by its own clock, and with what it has not stored yet as well;
without --window, --start and --end it takes its own window.

` + timeForms + "\n\n" + placeForms,
	define: func(f *flags) action {
		q := &question{}
		q.define(f)
		return q.run
	},
}

// question is what a query asks, and whom.
type question struct {
	place          *place
	from           string
	tenant         *string
	remote         *remoteFlags
	at, start, end *instant
	window         time.Duration
	json           bool
	chosen         func(flag string) bool
}

// define defines the flags of a query.
func (q *question) define(f *flags) {
	q.tenant, q.chosen = f.tenant(), f.chosen
	q.place = f.place("")
	f.StringVar(&q.from, "from", "", "the `URL` of a running collector")
	q.at = f.instant("at", "the `TIME` that the window ends before")
	f.DurationVar(&q.window, "window", 15*time.Second, "how long the window is: a `DURATION`")
	q.start = f.instant("start", "the first `TIME`")
	q.end = f.instant("end", "the `TIME` after the last")
	f.BoolVar(&q.json, "json", false, "write the report as JSON")
	q.remote = f.remote(q.tenant)
	f.exclusive([]string{"data"}, []string{"from"}, placeFlags)
	f.exclusive([]string{"at", "window"}, []string{"start", "end"})
	f.must(q.place.check)
	f.must(q.check)
}

func (q *question) check() error {
	switch {
	case q.place.embedded() && q.place.data == "" && q.from == "":
		return errors.New("give --data or --from, or --index and --blobs")
	case q.at.text == "" && (q.start.text == "" || q.end.text == ""):
		return errors.New("give --at, or --start and --end")
	case q.window <= 0:
		return positive("window", q.window)
	}
	from, to := q.span()
	if to.Before(from) {
		return errors.New("--end is before --start")
	}
	return errors.Join(inRange(from), inRange(to))
}

func (q *question) run(ctx context.Context, p *process, args []string) error {
	if len(args) > 0 {
		return usagef("%q is no flag: query takes no arguments", args[0])
	}
	r, facts, err := q.answer(ctx, p)
	if err != nil {
		return err
	}
	if q.json {
		return writeJSON(p.stdout, r)
	}
	return writeView(p.stdout, "", r, facts...)
}

// answer returns the report, and what else to show.
func (q *question) answer(ctx context.Context, p *process) (*report.Report, []fact, error) {
	if q.from != "" {
		return q.askRemote(ctx, p)
	}
	s, err := q.place.open(ctx, setup{logger: warnings(p.stderr), existing: true,
		instead: "ask it with --from URL in place of --data, or stop it"})
	if err != nil {
		return nil, nil, err
	}
	from, to := q.span()
	r, n, err := s.read(ctx, *q.tenant, from, to)
	if err := errors.Join(err, s.close()); err != nil {
		return nil, nil, err
	}
	return r, []fact{q.rangeFact(), {"merged", plural(n, "stored value")}}, nil
}

// span returns the range that is asked for.
func (q *question) span() (from, to time.Time) {
	if q.at.text != "" {
		return q.at.Add(-q.window), q.at.Time
	}
	return q.start.Time, q.end.Time
}

func (q *question) rangeFact() fact {
	from, to := q.span()
	return fact{"range", fmt.Sprintf("%s to %s (%v)", timeText(from), q.untilText(), to.Sub(from))}
}

// askRemote asks a collector, or a query service: then some of what it would
// answer may be missing, which goes to standard error, also with --json.
func (q *question) askRemote(ctx context.Context, p *process) (*report.Report, []fact, error) {
	c, err := q.remote.at(q.from, 1)
	if err != nil {
		return nil, nil, err
	}
	defer c.client.CloseIdleConnections()
	r, missing, err := c.ask(ctx, q.parameters())
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", q.from, err)
	}
	if missing != "" {
		p.warn("warning: the answer is without what could not be asked: %s", missing)
	}
	if q.ownWindow() {
		return r, []fact{{"range", "the collector's window before " + q.untilText()}}, nil
	}
	return r, []fact{q.rangeFact()}, nil
}

// ownWindow tells whether the collector is to take its own window.
func (q *question) ownWindow() bool { return q.at.text != "" && !q.chosen("window") }

// untilText is the end of the range. What the present is, a collector says.
func (q *question) untilText() string {
	if q.from != "" && (q.at.isNow() || q.end.isNow()) {
		return "now"
	}
	_, to := q.span()
	return timeText(to)
}

// parameters returns the question as a collector's API takes it. The present
// is left out: ours may be the past by the time that the collector is asked,
// and an instant that it is told, even one just past, leaves out what it has
// not stored yet.
func (q *question) parameters() url.Values {
	from, to := q.span()
	start, end := from.UTC().Format(time.RFC3339Nano), to.UTC().Format(time.RFC3339Nano)
	switch {
	case q.at.isNow() && q.ownWindow():
		return nil
	case q.at.isNow():
		return url.Values{"window": {q.window.String()}}
	case q.ownWindow():
		return url.Values{"timestamp": {end}}
	case q.end.isNow():
		return url.Values{"start": {start}}
	}
	return url.Values{"start": {start}, "end": {end}}
}
