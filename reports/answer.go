package reports

import (
	"context"
	"slices"
	"time"

	"github.com/timeblob/timeblob/reports/report"
)

// Answer is the report that answers a question, and what is not in it.
type Answer struct {
	Report *report.Report // shared: nobody may change it; empty when there is nothing
	// Missing names, in order, what could not be asked: collectors by their
	// addresses, and "store" where an answer about now had to do without what
	// is stored. A Collector's answers miss nothing.
	Missing []string

	found bool // there is a report, shortcuts aside
}

// ask answers a question of a request.
func (c *Collector) ask(ctx context.Context, tenant string, q question) (Answer, error) {
	var r *report.Report
	var err error
	if q.ranged {
		r, err = c.Range(ctx, tenant, q.from, q.to)
	} else {
		r, err = c.Report(ctx, tenant, q.to)
	}
	return Answer{Report: r, found: true}, err
}

// Tenants returns the ids, sorted, of the tenants with reports in memory.
func (c *Collector) Tenants() []string { return c.live.LiveTenants() }

// Report returns the merge of the window that ends at an instant; the empty
// report when there is nothing. From the end of the last tick on, and for any
// instant still to come, that is the live window, shortcuts included; any
// earlier one is Range(at − window, at).
func (c *Collector) Report(ctx context.Context, tenant string, at time.Time) (r *report.Report, err error) {
	ctx, asked := asking(ctx, "Report", tenant, at.Add(-c.live.Window()), at)
	defer func() { asked.End(err) }()
	var said []*report.Report
	if c.live.Live(at) {
		said = reportsOf(c.hub.held(tenant, c.now())) // first: what supersedes one is in the window before it leaves
	}
	if r, err = c.live.At(ctx, tenant, at); err != nil {
		return nil, err
	}
	return join(r, said)
}

// Range returns the merge of every report with from ≤ instant < to, where a
// report's instant is the end of the tick it came in; the empty report when
// there is nothing. It is exact, or an error. Shortcuts are in no range.
func (c *Collector) Range(ctx context.Context, tenant string, from, to time.Time) (r *report.Report, err error) {
	ctx, asked := asking(ctx, "Range", tenant, from, to)
	defer func() { asked.End(err) }()
	if r, err = c.live.Range(ctx, tenant, from, to); err != nil {
		return nil, err
	}
	return join(r, nil)
}

// join adds shortcuts to an answer, which is nil when there is none.
func join(r *report.Report, said []*report.Report) (*report.Report, error) {
	if r != nil && len(said) == 0 {
		return r, nil
	}
	if r != nil {
		said = slices.Insert(said, 0, r)
	}
	return report.Merge(said)
}

// HasReports reports whether Report would find any, shortcuts aside.
func (c *Collector) HasReports(ctx context.Context, tenant string, at time.Time) (bool, error) {
	if c.live.Live(at) {
		r, err := c.live.At(ctx, tenant, at)
		return r != nil, err
	}
	return c.live.Has(ctx, tenant, at.Add(-c.live.Window()), at)
}

// has answers, without a report, whether there is any.
func (c *Collector) has(ctx context.Context, tenant string, at time.Time) (Answer, error) {
	found, err := c.HasReports(ctx, tenant, at)
	return Answer{found: found}, err
}

// held returns what the collector holds of a tenant in a range, and its
// shortcuts. Shortcuts come first: what supersedes one is held before it leaves.
func (c *Collector) held(ctx context.Context, tenant string, q question) (h holdings, err error) {
	h.shortcuts = c.hub.held(tenant, c.now())
	h.Held, err = c.live.Held(ctx, tenant, q.from, q.to)
	return h, err
}
