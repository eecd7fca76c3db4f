package reports

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports/report"
)

// summaryBatch is how many reports a summary reads at a time.
const summaryBatch = 16

// SummaryLine describes one stored report.
type SummaryLine struct {
	Time  time.Time
	Nodes int    // of all topologies
	Size  int64  // bytes of memory
	Text  string // report.Summary
}

// AdminSummary returns a line for each report stored in the window that ends
// just before at: the instant, and report.Summary.
func (a *Archive) AdminSummary(ctx context.Context, tenant string, at time.Time) (string, error) {
	lines, err := a.Summary(ctx, tenant, at.Add(-a.window), at)
	var text strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&text, "%s  %s\n", human.Stamp(l.Time), l.Text)
	}
	return text.String(), err
}

// Summary describes each report stored with from ≤ instant < to, in the order of
// their instants.
func (a *Archive) Summary(ctx context.Context, tenant string, from, to time.Time) ([]SummaryLine, error) {
	entries, err := a.entries(ctx, tenant, from, to)
	if err != nil {
		return nil, err
	}
	var lines []SummaryLine
	for batch := range slices.Chunk(entries, summaryBatch) {
		if lines, err = a.summarize(ctx, tenant, batch, lines); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// summarize appends the lines of some entries.
func (a *Archive) summarize(ctx context.Context, tenant string, entries []index.Entry, lines []SummaryLine) ([]SummaryLine, error) {
	refs := make([]blob.Ref, len(entries))
	for i, e := range entries {
		refs[i] = e.Ref()
	}
	stored, err := a.store.Get(ctx, refs)
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		if !stored[i].Found {
			return nil, &bucket.MissingError{Tenant: tenant, Entries: []index.Entry{e}}
		}
		r := stored[i].Value
		lines = append(lines, SummaryLine{time.Unix(0, e.Time), nodesOf(r), report.Size(r), report.Summary(r)})
	}
	return lines, nil
}

// nodesOf counts the nodes of all topologies.
func nodesOf(r *report.Report) (n int) {
	for k := range r.Topologies {
		n += len(r.Topologies[k].Nodes)
	}
	return n
}
