package reports

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/report"
)

// summaryBatch is how many reports a summary reads at a time.
const summaryBatch = 16

// Window returns how far back a question of Report reaches.
func (c *Collector) Window() time.Duration { return c.live.Window() }

// Tenants returns the ids, sorted, of the tenants with reports in memory.
func (c *Collector) Tenants() []string { return c.live.Tenants() }

// soon returns an instant to ask for the live window with: no tick that ends
// while the question is on its way ends after it.
func (c *Collector) soon() time.Time { return c.now().Add(c.live.Window()) }

// Report returns the merge of the window that ends at an instant; the empty
// report when there is nothing. From the end of the last tick on, and for any
// instant still to come, that is the live window, shortcuts included; any
// earlier one is Range(at − window, at).
func (c *Collector) Report(ctx context.Context, tenant string, at time.Time) (*report.Report, error) {
	var said []*report.Report
	if c.live.Live(at) {
		said = reportsOf(c.hub.held(tenant, c.now())) // first: what supersedes one is in the window before it leaves
	}
	r, err := c.live.At(ctx, tenant, at)
	if err != nil {
		return nil, err
	}
	return join(r, said)
}

// Range returns the merge of every report with from ≤ instant < to, where a
// report's instant is the end of the tick it came in; the empty report when
// there is nothing. It is exact, or an error. Shortcuts are in no range.
func (c *Collector) Range(ctx context.Context, tenant string, from, to time.Time) (*report.Report, error) {
	r, err := c.live.Range(ctx, tenant, from, to)
	if err != nil {
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

// HasHistoricReports reports whether questions may reach further back than the
// live window. They may.
func (c *Collector) HasHistoricReports() bool { return true }

// AdminSummary returns a line for each report stored with an instant in the
// window that ends just before at: the instant, and report.Summary.
func (c *Collector) AdminSummary(ctx context.Context, tenant string, at time.Time) (string, error) {
	return c.summary(ctx, tenant, at.Add(-c.live.Window()), at)
}

// summary returns a line for each report stored with from ≤ instant < to.
func (c *Collector) summary(ctx context.Context, tenant string, from, to time.Time) (string, error) {
	entries, err := c.live.Entries(ctx, tenant, from, to)
	if err != nil {
		return "", err
	}
	var lines strings.Builder
	for batch := range slices.Chunk(entries, summaryBatch) {
		if err := c.summarize(ctx, tenant, batch, &lines); err != nil {
			return "", err
		}
	}
	return lines.String(), nil
}

func (c *Collector) summarize(ctx context.Context, tenant string, entries []bucket.Entry, lines *strings.Builder) error {
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = e.Key
	}
	stored, err := c.store.Get(ctx, keys)
	if err != nil {
		return err
	}
	for _, e := range entries {
		r, ok := stored[e.Key]
		if !ok {
			return &bucket.MissingError{Tenant: tenant, Entries: []bucket.Entry{e}}
		}
		fmt.Fprintf(lines, "%s  %s\n", stamp(time.Unix(0, e.Time)), report.Summary(r))
	}
	return nil
}

// stamp writes a time to the nanosecond, always as long.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z") }
