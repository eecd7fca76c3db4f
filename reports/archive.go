package reports

import (
	"context"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// archive is what a Collector and a Querier have in common: the stored
// reports, the length of a window, the clock, and the checks of the stores.
type archive struct {
	store   *tiered.Store[*report.Report]
	entries func(ctx context.Context, tenant string, from, to time.Time) ([]index.Entry, error)
	window  time.Duration
	now     func() time.Time
	stores  []Check
}

// Window returns how far back a question of Report reaches.
func (a *archive) Window() time.Duration { return a.window }

// HasHistoricReports reports whether questions may reach further back than the
// live window. They may.
func (a *archive) HasHistoricReports() bool { return true }

func (a *archive) stored() *archive { return a }

// soon returns an instant to ask for the live window with: no tick that ends
// while the question is on its way ends after it.
func (a *archive) soon() time.Time { return a.now().Add(a.window) }

// stamp writes a time to the nanosecond, always as long.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z") }
