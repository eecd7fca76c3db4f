package reports

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/report"
)

// maxAsked is how many collectors are asked for their live windows at a time.
const maxAsked = 32

// poll is one question to all collectors.
type poll struct {
	q        *Querier
	tenant   string
	from, to time.Time
	recent   bool     // it reaches into the last window
	unknown  []string // where collectors have not been found yet
	calls    []*call
	failed   []error // by call
}

func (q *Querier) poll(tenant string, from, to time.Time) *poll {
	p := &poll{q: q, tenant: tenant, from: from, to: to, recent: to.After(q.now().Add(-q.window)), unknown: q.peers.unknown()}
	for _, known := range q.peers.known() {
		p.calls = append(p.calls, &call{peer: known, hub: q.hub})
	}
	p.failed = make([]error, len(p.calls))
	return p
}

// call asks one collector, and keeps the shortcuts that it holds.
type call struct {
	peer      *peer
	hub       *shortcutHub
	present   bool  // the question is about now: the open tick belongs to it
	told      bool  // the collector said what it holds
	err       error // why it did not
	shortcuts []shortcut
	window    *report.Report // the live window, which holds the shortcuts; nil where it was not had
}

// Held makes a call a bucket.Source.
func (c *call) Held(ctx context.Context, tenant string, from, to time.Time) (bucket.Held[*report.Report], error) {
	h, err := c.peer.held(ctx, tenant, from, to)
	if err == nil && c.present && (h.Next < from.UnixNano() || h.Next >= to.UnixNano()) {
		h, err = holdings{}, c.peer.skewed(time.Unix(0, h.Next))
	}
	c.told, c.err, c.shortcuts = err == nil, err, h.shortcuts
	for _, v := range h.Sealed {
		c.hub.supersede(tenant, v.Value, "")
	}
	if h.IsOpen {
		c.hub.supersede(tenant, h.Open, "")
	}
	return h.Held, err
}

// ask returns the merge of what is stored and what collectors hold; nil when
// there is nothing.
func (p *poll) ask(ctx context.Context) (*report.Report, error) {
	sources := make([]bucket.Source[*report.Report], len(p.calls))
	for i, c := range p.calls {
		sources[i] = c
	}
	a, err := p.q.past.Range(ctx, p.tenant, p.from, p.to, sources, nil)
	for i, c := range p.calls {
		p.failed[i] = c.err
	}
	if err != nil {
		return nil, err
	}
	if p.recent && !p.plain() && p.silent() == len(p.calls) {
		return nil, p.none()
	}
	return a.Value, nil
}

// aboutNow makes the question one about now.
func (p *poll) aboutNow() {
	for _, c := range p.calls {
		c.present = true
	}
}

// plain reports whether one of Scope's collectors was met.
func (p *poll) plain() bool {
	return slices.ContainsFunc(p.failed, func(err error) bool { return errors.Is(err, errPlain) })
}

// silent counts the calls without an answer.
func (p *poll) silent() (n int) {
	for _, err := range p.failed {
		if err != nil {
			n++
		}
	}
	return n
}

// none is the error of a question that no collector has answered; each of them
// is counted and logged as in an answer that lacks some.
func (p *poll) none() error {
	p.missing()
	return &NoCollectorError{p.q.peers.collectors.String(), slices.DeleteFunc(slices.Clone(p.failed), func(err error) bool { return err == nil })}
}

// missing names the collectors of which what they hold is not in the answer,
// counts and logs them. What Scope's hold of a time long past they have stored.
func (p *poll) missing() (names []string) {
	for i, err := range p.failed {
		if err == nil || errors.Is(err, errPlain) && !p.recent {
			continue
		}
		names = append(names, p.calls[i].peer.name)
		p.q.metrics.missing.Inc()
		p.q.log.Warn("a collector does not answer", "collector", p.calls[i].peer.name, "tenant", p.tenant, "err", err)
	}
	p.q.metrics.missing.Add(float64(len(p.unknown)))
	return append(names, p.unknown...)
}

// shortcuts returns the shortcuts that are shown, each once: those that the
// collectors hold and, where one did not say, as Scope's do not, those that this
// service holds. Those that live windows hold are left out.
func (p *poll) shortcuts() (all []*report.Report) {
	var said []shortcut
	seen := make(map[string]bool)
	silent := false
	for _, c := range p.calls {
		silent = silent || !c.told
		if c.window == nil {
			said = append(said, c.shortcuts...)
			continue
		}
		for _, s := range c.shortcuts {
			seen[s.key] = true
		}
	}
	if silent {
		said = append(said, p.q.hub.held(p.tenant, p.q.now())...)
	}
	for _, c := range said {
		if !seen[c.key] {
			all = append(all, c.report)
		}
		seen[c.key] = true
	}
	return all
}

// live returns the merge of the live windows of the collectors that said what
// they hold, or do not know how. Missing begins with what is missing already.
func (p *poll) live(ctx context.Context, missing []string) (Answer, error) {
	var asked errgroup.Group // whose goroutines return no errors
	asked.SetLimit(maxAsked)
	for i, c := range p.calls {
		if p.failed[i] = c.err; c.err != nil && !errors.Is(c.err, errPlain) {
			continue
		}
		asked.Go(func() error {
			c.window, p.failed[i] = c.peer.live(ctx, p.tenant)
			return nil
		})
	}
	_ = asked.Wait()
	if err := ctx.Err(); err != nil {
		return Answer{}, err
	}
	if p.silent() == len(p.calls) {
		return Answer{}, p.none()
	}
	var windows []*report.Report
	for _, c := range p.calls {
		if !nothing(c.window) {
			windows = append(windows, c.window)
		}
	}
	if len(windows) == 0 {
		return p.answer(nil, p.shortcuts(), append(missing, p.missing()...))
	}
	r, err := report.Merge(windows)
	if err != nil {
		return Answer{}, err
	}
	p.q.hub.supersede(p.tenant, r, "")
	return p.answer(r, p.shortcuts(), append(missing, p.missing()...))
}

// nothing reports whether an answer is of no report at all.
func nothing(r *report.Report) bool {
	return r == nil || r.TS.IsZero() && report.Summary(r) == ""
}

// answer joins shortcuts to a report, which is nil when there is none.
func (p *poll) answer(r *report.Report, said []*report.Report, missing []string) (Answer, error) {
	whole, err := join(r, said)
	return Answer{whole, missing, r != nil}, err
}
