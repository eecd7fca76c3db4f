package reports

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// summaryBatch is how many reports a summary reads at a time.
const summaryBatch = 16

// archive is what a Collector and a Querier have in common: the stored
// reports, the length of a window, the clock, and the checks of the stores.
type archive struct {
	store   *tiered.Store[*report.Report]
	entries func(ctx context.Context, tenant string, from, to time.Time) ([]bucket.Entry, error)
	window  time.Duration
	now     func() time.Time
	stores  []Check
}

// Window returns how far back a question of Report reaches.
func (a *archive) Window() time.Duration { return a.window }

// HasHistoricReports reports whether questions may reach further back than the
// live window. They may.
func (a *archive) HasHistoricReports() bool { return true }

// AdminSummary returns a line for each report stored with an instant in the
// window that ends just before at: the instant, and report.Summary.
func (a *archive) AdminSummary(ctx context.Context, tenant string, at time.Time) (string, error) {
	return a.summary(ctx, tenant, at.Add(-a.window), at)
}

func (a *archive) stored() *archive { return a }

// soon returns an instant to ask for the live window with: no tick that ends
// while the question is on its way ends after it.
func (a *archive) soon() time.Time { return a.now().Add(a.window) }

// summary returns a line for each report stored with from ≤ instant < to.
func (a *archive) summary(ctx context.Context, tenant string, from, to time.Time) (string, error) {
	entries, err := a.entries(ctx, tenant, from, to)
	if err != nil {
		return "", err
	}
	var lines strings.Builder
	for batch := range slices.Chunk(entries, summaryBatch) {
		if err := a.summarize(ctx, tenant, batch, &lines); err != nil {
			return "", err
		}
	}
	return lines.String(), nil
}

func (a *archive) summarize(ctx context.Context, tenant string, entries []bucket.Entry, lines *strings.Builder) error {
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = e.Key
	}
	stored, err := a.store.Get(ctx, keys)
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
