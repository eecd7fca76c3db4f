package reports

import (
	"context"
	"slices"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/internal/tracing"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/shortcuts"
)

// Answer is the report that answers a question, and what the report lacks.
type Answer struct {
	Report *report.Report // shared: nobody may change it; empty when there are no reports
	// Missing names, in order, the sources that are missing in the answer:
	// collectors by their addresses, "store" when an answer about now was made
	// without the store, "clock" when the clock was set less than a window ago and
	// an answer about now lacks older reports, "journal" when reports of the time
	// before the collector's start may be lost with a damaged journal, and for a
	// question that allows a partial answer the stored entries that cannot be read.
	Missing []string
	// Found says that there is a report, not counting shortcuts.
	Found bool
	// From and To are the range that was answered when the question asked to
	// round; else zero.
	From, To time.Time
}

// MissingJournal is the name, in Answer.Missing, of reports that waited in a journal
// that was damaged.
const MissingJournal = "journal"

// MissingStore is the name of the store in Answer.Missing.
const MissingStore = "store"

// unread names stored entries that a partial answer lacks.
func unread(missing []bucket.Missing) (names []string) {
	for _, m := range missing {
		if m.Source == "" {
			names = append(names, "entry "+m.Key+" of "+human.Stamp(m.Time))
		}
	}
	return names
}

// withShortcuts merges shortcuts into a report, which is nil when there is none.
// It never returns nil without an error.
func withShortcuts(r *report.Report, held []*report.Report) (*report.Report, error) {
	if r != nil && len(held) == 0 {
		return r, nil
	}
	if r != nil {
		held = slices.Insert(held, 0, r)
	}
	return report.Merge(held)
}

// Holdings is what a collector holds of a tenant that the store may lack, and
// its shortcuts.
type Holdings struct {
	bucket.Held[*report.Report]
	Shortcuts []shortcuts.Shortcut
}

// startQuestion starts the span of a question about [from, to).
func startQuestion(ctx context.Context, name, tenant string, from, to time.Time) (context.Context, tracing.Span) {
	ctx, asked := spans.Child(ctx, name)
	if asked.Recording() {
		asked.Text(tracing.Tenant, tenant)
		asked.Text("timeblob.from", human.Stamp(from))
		asked.Text("timeblob.to", human.Stamp(to))
	}
	return ctx, asked
}

// spans are Add, decode, Report and Range.
const spans = tracing.Scope("reports")
