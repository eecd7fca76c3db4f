package reports

import (
	"context"
	"errors"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/shortcuts"
)

// Ask answers a question.
func (c *Collector) Ask(ctx context.Context, tenant string, q Question) (a Answer, err error) {
	switch {
	case q.Ranged:
		return c.answerRange(ctx, "Range", tenant, q.From, q.To, q.options())
	case c.live.Live(q.To) || q.To.After(c.now()): // the last tick may seem to be yet to come, when the clock was set back
		return c.answerNow(ctx, tenant, q.To, q.options())
	case q.OnlyFound:
		a.Found, err = c.HasReports(ctx, tenant, q.To)
	default:
		return c.answerRange(ctx, "Report", tenant, q.To.Add(-c.window), q.To, q.options())
	}
	return a, err
}

// answerRange answers with the merge of a range, in a span with a name.
func (c *Collector) answerRange(ctx context.Context, span, tenant string, from, to time.Time, opts *bucket.RangeOptions) (a Answer, err error) {
	ctx, asked := startQuestion(ctx, span, tenant, from, to)
	defer func() { asked.End(err) }()
	found, err := c.live.Range(ctx, tenant, from, to, opts)
	if err != nil {
		return Answer{}, err
	}
	a.Report, err = withShortcuts(found.Value, nil)
	a.Missing, a.Found, a.From, a.To = append(c.lost(from), unread(found.Missing)...), true, found.From, found.To
	return a, err
}

// answerNow answers with the live window and its shortcuts. When the store, which
// a collector that has just started needs, fails or does not answer within the
// store timeout, the answer is made from memory and says so.
func (c *Collector) answerNow(ctx context.Context, tenant string, at time.Time, opts *bucket.RangeOptions) (a Answer, err error) {
	ctx, asked := startQuestion(ctx, "Report", tenant, at.Add(-c.window), at)
	defer func() { asked.End(err) }()
	current := shortcuts.Reports(c.hub.Held(tenant)) // first, as in Report
	inTime, cancel := context.WithTimeout(ctx, c.storeTimeout)
	defer cancel()
	set := append(c.clock.missing(), c.lost(c.now().Add(-c.window))...)
	found, err := c.live.At(inTime, tenant, at, opts)
	r := found.Value
	a.Missing = append(set, unread(found.Missing)...)
	if err != nil && ctx.Err() == nil && ClientFault(err) == nil && !errors.Is(err, bucket.ErrClosed) {
		c.log.Warn("answer about now without the store", "tenant", tenant, "err", err)
		r, err = c.live.Recent(ctx, tenant)
		a.Missing = append(set, MissingStore)
	}
	if err != nil {
		return Answer{}, err
	}
	a.Found = r != nil
	a.Report, err = withShortcuts(r, current)
	return a, err
}

// lost returns MissingJournal for an answer about times from an instant on, if a
// damaged journal may have lost reports of them.
func (c *Collector) lost(from time.Time) []string {
	if c.lossy == nil || !from.Before(c.started) || !c.lossy() {
		return nil
	}
	return []string{MissingJournal}
}

// Tenants returns the ids, sorted, of the tenants with reports in memory.
func (c *Collector) Tenants() []string { return c.live.LiveTenants() }

// Share returns what a tenant has in memory. The error is the context's.
func (c *Collector) Share(ctx context.Context, tenant string) (bucket.Share, error) {
	return c.live.Share(ctx, tenant)
}

// Report returns the merge of the window that ends at an instant, or the empty
// report when there is nothing. From the end of the last tick on, and for any
// later instant, that is the live window with shortcuts. For an earlier instant
// it is Range(at − window, at).
func (c *Collector) Report(ctx context.Context, tenant string, at time.Time) (r *report.Report, err error) {
	ctx, asked := startQuestion(ctx, "Report", tenant, at.Add(-c.window), at)
	defer func() { asked.End(err) }()
	var current []*report.Report
	if c.live.Live(at) {
		// Shortcuts first: the window holds a report before it drops the shortcuts
		// that the report supersedes.
		current = shortcuts.Reports(c.hub.Held(tenant))
	}
	a, err := c.live.At(ctx, tenant, at, nil)
	if err != nil {
		return nil, err
	}
	return withShortcuts(a.Value, current)
}

// Range returns the merge of every report with from ≤ instant < to, or the empty
// report when there is none. The instant of a report is the end of its tick. The
// answer is exact, or an error. Ranges hold no shortcuts.
func (c *Collector) Range(ctx context.Context, tenant string, from, to time.Time) (*report.Report, error) {
	a, err := c.answerRange(ctx, "Range", tenant, from, to, nil)
	return a.Report, err
}

// HasReports reports whether Report would find any, not counting shortcuts.
func (c *Collector) HasReports(ctx context.Context, tenant string, at time.Time) (bool, error) {
	if c.live.Live(at) {
		a, err := c.live.At(ctx, tenant, at, nil)
		return a.Entries > 0, err
	}
	return c.live.Has(ctx, tenant, at.Add(-c.window), at)
}

// Held returns what the collector holds of a tenant with from ≤ instant < to. There are shortcuts
// if the range reaches into the live window.
func (c *Collector) Held(ctx context.Context, tenant string, from, to time.Time) (h Holdings, err error) {
	// Shortcuts first: the window holds a report before it drops the shortcuts
	// that the report supersedes.
	if c.live.Live(to.Add(c.window)) {
		h.Shortcuts = c.hub.Held(tenant)
	}
	h.Missing = append(c.clock.missing(), c.lost(from)...)
	h.Held, err = c.live.Held(ctx, tenant, from, to)
	return h, err
}
