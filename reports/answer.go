package reports

import (
	"cmp"
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
	// Missing names, in order, what the answer lacks: collectors that do not answer,
	// by their addresses; "store" when an answer about now was made
	// without the store; "clock" when the clock was set less than a window ago and
	// an answer about now lacks older reports; "journal" when reports of the time
	// before the collector's start may be lost with a damaged journal; and, for a
	// question that allows a partial answer, the entries that cannot be read. A
	// querier's answer also names what its collectors lack, as "journal of 10.0.0.1:4040",
	// and the reports that a collector holds and cannot read.
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

// unread names the entries that a partial answer lacks.
func unread(missing []bucket.Missing) (names []string) {
	for _, m := range missing {
		if m.Source == "" {
			names = append(names, entryName(m.Key, m.Time))
		}
	}
	return names
}

// entryName names an entry, or the value of an open tick, which has no key yet.
func entryName(key string, at time.Time) string {
	if key == "" {
		return "open tick of " + human.Stamp(at)
	}
	return "entry " + key + " of " + human.Stamp(at)
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
	// Missing holds MissingClock and MissingJournal where they hold of the collector.
	Missing []string
}

// within reports whether every value has from ≤ instant < to, and the open tick
// belongs to these, as a collector that was asked for them must answer.
func (h *Holdings) within(from, to time.Time) bool {
	if h.IsOpen && (h.Next < from.UnixNano() || min(h.Next, cmp.Or(h.Since, h.Next)) >= to.UnixNano()) {
		return false
	}
	return !slices.ContainsFunc(h.Sealed, func(v bucket.HeldValue[*report.Report]) bool {
		return v.Err == nil && (v.Entry.Time < from.UnixNano() || v.Entry.Time >= to.UnixNano())
	})
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
