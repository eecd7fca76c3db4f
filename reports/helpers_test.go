package reports

import (
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/internal/reportstest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Shorthands for what many tests use.
var (
	noon            = reportstest.Noon
	decode          = reportstest.Decode
	upgraded        = reportstest.Upgraded
	encode          = reportstest.Encode
	equal           = reportstest.Equal
	sameJSON        = reportstest.SameJSON
	asJSON          = reportstest.JSON
	merged          = reportstest.Merged
	capturedReports = reportstest.Corpus
	hosts           = reportstest.Hosts
	container       = reportstest.Container
	containers      = reportstest.Containers
	cut             = reportstest.Shortcut
)

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// fixture is a collector in memory with its clock and its stores.
type fixture struct {
	*Collector
	clock     *reportstest.Clock
	index     *index.MemIndex
	authority *tiered.MemTier
	registry  *prometheus.Registry
}

// setup returns a fixture. The function changes options before they are used.
func setup(t testing.TB, change func(*Options)) *fixture {
	t.Helper()
	f := &fixture{clock: reportstest.NewClock(), index: index.NewMemIndex(), authority: new(tiered.MemTier),
		registry: prometheus.NewRegistry()}
	o := &Options{Registerer: f.registry, Now: f.clock.Now}
	if change != nil {
		change(o)
	}
	var err error
	if f.Collector, err = New(f.index, f.authority, o); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) add(t testing.TB, tenant string, r *report.Report, probe string) {
	t.Helper()
	if err := f.Add(t.Context(), tenant, r, Origin{Probe: probe}); err != nil {
		t.Fatal(err)
	}
}

// answer returns the live window.
func (f *fixture) answer(t testing.TB, tenant string) *report.Report {
	t.Helper()
	r, err := f.Report(t.Context(), tenant, f.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r
}
