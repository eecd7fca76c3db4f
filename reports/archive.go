package reports

import (
	"context"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/health"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// Archive is the stored reports, as a Collector and a Querier read them, with
// the length of a window and the clock. New and NewQuerier make it.
type Archive struct {
	store   *tiered.Store[*report.Report]
	entries func(ctx context.Context, tenant string, from, to time.Time) ([]index.Entry, error)
	window  time.Duration
	now     func() time.Time
	stores  []health.Check
}

// Stored returns the archive itself.
func (a *Archive) Stored() *Archive { return a }

// Window returns the length of the window that Report covers.
func (a *Archive) Window() time.Duration { return a.window }

// Now returns the time of the clock.
func (a *Archive) Now() time.Time { return a.now() }

// AfterNow returns the instant to ask about for the live window. It lies a window
// ahead, so that a tick which ends during the question still counts as live.
func (a *Archive) AfterNow() time.Time { return a.now().Add(a.window) }

// HasHistoricReports reports whether questions may be about instants before the
// live window. They may.
func (a *Archive) HasHistoricReports() bool { return true }

// sweepEvery is how often Run drops what has expired.
const sweepEvery = 5 * time.Second
