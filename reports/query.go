package reports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/shortcuts"
)

// maxAsked bounds the collectors that are asked for their live windows at a
// time.
const maxAsked = 32

// query is one question to all collectors.
type query struct {
	q        *Querier
	tenant   string
	from, to time.Time
	recent   bool     // the range reaches into the last window
	unknown  []string // names without a collector
	calls    []*call
	failed   []error // by call; nil for a collector that answered
	opts     *bucket.RangeOptions
	unread   []string

	roundedFrom, roundedTo time.Time // the range that was answered, of a question that asked to round
}

func (q *Querier) newQuery(tenant string, from, to time.Time) *query {
	p := &query{q: q, tenant: tenant, from: from, to: to, recent: to.After(q.now().Add(-q.window)), unknown: q.peers.Unknown()}
	for _, known := range q.peers.Known() {
		p.calls = append(p.calls, &call{peer: known, hub: q.hub, now: q.now})
	}
	p.failed = make([]error, len(p.calls))
	return p
}

// call is the question to one collector, and its answer.
type call struct {
	peer      Peer
	store     *patience
	hub       *shortcuts.Hub
	now       func() time.Time
	present   bool  // the question is about now, so that the open tick belongs to it
	told      bool  // the collector told what it holds
	err       error // why it did not
	shortcuts []shortcuts.Shortcut
	window    *report.Report // the live window with shortcuts; nil if the call did not ask for it

	version string   // of the holdings
	missing []string // what the collector lacks, with its name
	unread  []error  // why values that it holds cannot be read
}

// String returns the name by which bucket names a source that is missing.
func (c *call) String() string { return c.peer.Name() }

// Held implements bucket.Source.
func (c *call) Held(ctx context.Context, tenant string, from, to time.Time) (bucket.Held[*report.Report], error) {
	c.store.pause()
	defer c.store.resume()
	h, err := c.ask(ctx, tenant, from, to)
	err = c.known(err)
	if err != nil && ctx.Err() != nil { // the question ended, which says nothing about the collector
		return bucket.Held[*report.Report]{}, err
	}
	c.told, c.err, c.shortcuts = err == nil, err, nil
	if err != nil {
		return bucket.Held[*report.Report]{}, err // h may be a part
	}
	c.note(&h)
	c.shortcuts = h.Shortcuts
	for _, v := range h.Sealed {
		c.hub.Supersede(tenant, v.Value, "")
	}
	if h.IsOpen {
		c.hub.Supersede(tenant, h.Open, "")
	}
	return h.Held, nil
}

// Version implements bucket.VersionSource.
func (c *call) Version(ctx context.Context, tenant string) (string, error) {
	c.store.pause()
	defer c.store.resume()
	h, err := c.peer.Held(ctx, tenant, time.Unix(0, 0), time.Unix(0, 1))
	return h.Version, c.known(err)
}

// known returns ErrHidden for ErrNoHoldings from a collector that told what it holds before: it
// is not one of Scope's, and the answer lacks what it holds.
func (c *call) known(err error) error {
	if c.told && errors.Is(err, ErrNoHoldings) {
		return ErrHidden
	}
	return err
}

// ask asks the collector what it holds, and checks that the answer belongs to the question.
func (c *call) ask(ctx context.Context, tenant string, from, to time.Time) (h Holdings, err error) {
	before := c.now().UnixNano()
	h, err = c.peer.Held(ctx, tenant, from, to)
	switch {
	case err != nil:
		return h, err
	case c.present && (h.Next < from.UnixNano() || h.Next >= to.UnixNano()):
		return Holdings{}, skewed(c.peer.Name(), time.Unix(0, h.Next))
	case !h.within(from, to):
		return Holdings{}, fmt.Errorf("collector %s: it answered another question", c.peer.Name())
	case before-h.Next > int64(setBy): // its reports leave the answer too early
		h.Missing = append(h.Missing, MissingClock)
	}
	return h, nil
}

// note notes what the collector lacks, and removes the values and shortcuts that cannot
// be read from what it holds: the answer has all others, and names these. A collector that
// is asked again may have sealed or stored something meanwhile.
func (c *call) note(h *Holdings) {
	if h.Version != c.version {
		c.version, c.missing, c.unread = h.Version, nil, nil
	}
	for _, name := range h.Missing {
		if name != MissingClock || c.present { // a range has the instants that values got
			c.lacks(name)
		}
	}
	h.Sealed = slices.DeleteFunc(h.Sealed, func(v bucket.HeldValue[*report.Report]) bool {
		if v.Err != nil && c.lacks(entryName(v.Entry.Key, time.Unix(0, v.Entry.Time))) {
			c.unread = append(c.unread, v.Err)
		}
		return v.Err != nil
	})
	h.Shortcuts = slices.DeleteFunc(h.Shortcuts, func(s shortcuts.Shortcut) bool {
		if s.Err != nil && c.present && c.lacks("shortcut "+s.Key) { // ranges hold no shortcuts
			c.unread = append(c.unread, s.Err)
		}
		return s.Err != nil
	})
}

// lacks notes, once, something that the collector lacks.
func (c *call) lacks(what string) (noted bool) {
	what += " of " + c.peer.Name()
	if noted = !slices.Contains(c.missing, what); noted {
		c.missing = append(c.missing, what)
	}
	return noted
}

// askNow asks about now, and gives up on a store that does not answer within the
// limit. The error is then errStoreSlow.
func (p *query) askNow(ctx context.Context, limit time.Duration) (*report.Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	store := newPatience(limit, cancel)
	defer store.stop()
	for _, c := range p.calls {
		c.present, c.store = true, store
	}
	store.start()
	r, err := p.ask(ctx)
	if err != nil && context.Cause(ctx) == errStoreSlow {
		err = errStoreSlow
	}
	return r, err
}

// ask returns the merge of what is stored and what collectors hold, or nil when
// there is nothing.
func (p *query) ask(ctx context.Context) (*report.Report, error) {
	sources := make([]bucket.Source[*report.Report], len(p.calls))
	for i, c := range p.calls {
		sources[i] = c
	}
	a, err := p.q.past.Range(ctx, p.tenant, p.from, p.to, sources, p.opts)
	for i, c := range p.calls {
		p.failed[i] = c.err
	}
	if err != nil {
		return nil, err
	}
	for _, m := range a.Missing {
		p.gaveUp(m.Source, m.Err)
	}
	p.unread, p.roundedFrom, p.roundedTo = unread(a.Missing), a.From, a.To
	if p.recent && !p.fromScope() && p.silent() == len(p.calls) {
		return nil, p.none()
	}
	return a.Value, nil
}

// gaveUp notes a collector that the answer lacks, although it told what it holds when it was
// asked last: it was not asked again.
func (p *query) gaveUp(name string, err error) {
	for i, c := range p.calls {
		if name == c.String() {
			p.failed[i] = cmp.Or(p.failed[i], err)
		}
	}
}

// fromScope reports whether one of Scope's collectors was asked.
func (p *query) fromScope() bool {
	return slices.ContainsFunc(p.failed, func(err error) bool { return errors.Is(err, ErrNoHoldings) })
}

// silent counts the collectors that did not answer.
func (p *query) silent() (n int) {
	for _, err := range p.failed {
		if err != nil {
			n++
		}
	}
	return n
}

// none returns the error of a question that no collector answered. It counts and
// logs each of them, as missing does.
func (p *query) none() error {
	p.missing()
	return &NoCollectorError{p.unknown, slices.DeleteFunc(slices.Clone(p.failed), func(err error) bool { return err == nil })}
}

// missing names the collectors whose holdings the answer lacks, what the others
// lack, and the stored entries. It counts and logs these collectors, and those with
// values that cannot be read. Scope's collectors have stored what is older than a window.
func (p *query) missing() (names []string) {
	for i, err := range p.failed {
		if err == nil {
			names = append(names, p.calls[i].missing...)
			if unread := p.calls[i].unread; len(unread) > 0 {
				p.q.missing.Inc()
				p.q.log.Warn("a collector holds what cannot be read", "collector", p.calls[i].peer.Name(), "tenant", p.tenant, "values", len(unread), "err", unread[0])
			}
		}
		if err == nil || errors.Is(err, ErrNoHoldings) && !errors.Is(err, ErrHidden) && !p.recent {
			continue
		}
		names = append(names, p.calls[i].peer.Name())
		p.q.missing.Inc()
		p.q.log.Warn("a collector does not answer", "collector", p.calls[i].peer.Name(), "tenant", p.tenant, "err", err)
	}
	p.q.missing.Add(float64(len(p.unknown)))
	return append(append(names, p.unknown...), p.unread...)
}

// shortcuts returns the shortcuts that belong to the answer, each once: the collectors' shortcuts and, if a collector did not answer, this service's. Shortcuts that are part of a live window are left out.
func (p *query) shortcuts() (all []*report.Report) {
	var held []shortcuts.Shortcut
	seen := make(map[string]bool)
	silent := false
	for _, c := range p.calls {
		silent = silent || !c.told
		if c.window == nil {
			held = append(held, c.shortcuts...)
			continue
		}
		for _, s := range c.shortcuts {
			seen[s.Key] = true
		}
	}
	if silent {
		held = append(held, p.q.hub.Held(p.tenant)...)
	}
	for _, c := range held {
		if !seen[c.Key] {
			all = append(all, c.Report)
		}
		seen[c.Key] = true
	}
	return all
}

// live returns the merge of the live windows of the collectors that told what
// they hold, or cannot tell. The answer's Missing begins with missing.
func (p *query) live(ctx context.Context, missing []string) (Answer, error) {
	var asked errgroup.Group // its goroutines return no errors
	asked.SetLimit(maxAsked)
	for i, c := range p.calls {
		if p.failed[i] = c.err; c.err != nil && !errors.Is(c.err, ErrNoHoldings) {
			continue
		}
		asked.Go(func() error {
			a, err := c.peer.Live(ctx, p.tenant)
			c.window, p.failed[i] = a.Report, err
			c.missing, c.unread = nil, nil // the live window is the answer, and not what is held
			for _, name := range a.Missing {
				c.lacks(name)
			}
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
		if !isEmpty(c.window) {
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
	p.q.hub.Supersede(p.tenant, r, "")
	return p.answer(r, p.shortcuts(), append(missing, p.missing()...))
}

// isEmpty reports whether no report went into an answer.
func isEmpty(r *report.Report) bool {
	return r == nil || r.TS.IsZero() && report.Summary(r) == ""
}

// answer merges shortcuts into a report, which is nil when there is none.
func (p *query) answer(r *report.Report, held []*report.Report, missing []string) (Answer, error) {
	whole, err := withShortcuts(r, held)
	return Answer{Report: whole, Missing: missing, Found: r != nil, From: p.roundedFrom, To: p.roundedTo}, err
}

// skewed returns the error of a collector whose clock is a window or more from
// this process's, so that its open tick is not within the question.
func skewed(name string, clock time.Time) error {
	return fmt.Errorf("collector %s: its clock is at %s, further than a window from the clock here: set the clocks", name, human.Stamp(clock))
}
