package shortcuts

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/internal/logtest"
	"github.com/timeblob/timeblob/reports/internal/reportstest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Shorthands for what many tests use.
var (
	noon       = reportstest.Noon
	encode     = reportstest.Encode
	equal      = reportstest.Equal
	merged     = reportstest.Merged
	hosts      = reportstest.Hosts
	container  = reportstest.Container
	containers = reportstest.Containers
	cut        = reportstest.Shortcut
	gzipped    = reportstest.Gzipped
)

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// fixture is a hub with its clock.
type fixture struct {
	*Hub
	clock *reportstest.Clock
}

// setup returns a hub on a bus and a cache, which may be nil.
func setup(t testing.TB, bus Bus, cache tiered.Tier) *fixture {
	t.Helper()
	return withLogger(t, bus, cache, slog.New(slog.DiscardHandler))
}

// logged returns a hub on a bus that logs to a journal.
func logged(t testing.TB, bus Bus, to *logtest.Journal) *fixture {
	t.Helper()
	return withLogger(t, bus, nil, to.Logger())
}

func withLogger(t testing.TB, bus Bus, cache tiered.Tier, to *slog.Logger) *fixture {
	t.Helper()
	clock := reportstest.NewClock()
	h, err := New(Config{Bus: bus, Cache: cache, Window: 15 * time.Second, Now: clock.Now, Namespace: "scope", Logger: to,
		Check: func(r *report.Report) (*report.Report, error) {
			if err := report.Validate(r); err != nil {
				return nil, err
			}
			return report.Upgrade(r)
		}})
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{h, clock}
}

// add gives the hub a report as a collector does.
func (f *fixture) add(t testing.TB, tenant string, r *report.Report, probe string) {
	t.Helper()
	if r.Shortcut {
		f.Add(tenant, r, probe)
		return
	}
	f.Supersede(tenant, r, probe)
}

// live returns the merge of the shortcuts that live answers hold.
func (f *fixture) live(t testing.TB, tenant string) *report.Report {
	t.Helper()
	return merged(t, Reports(f.Held(tenant))...)
}

// closed closes the hub.
func (f *fixture) closed(t testing.TB) {
	t.Helper()
	f.Close(t.Context())
}
