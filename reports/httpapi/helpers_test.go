package httpapi

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/internal/reportstest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/shortcuts"
	"github.com/timeblob/timeblob/tiered"
)

func TestMain(m *testing.M) {
	// A server's connection that was closed waits half a second for its client.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

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
	gzipped         = reportstest.Gzipped
	msgpack         = reportstest.Msgpack
	dial            = reportstest.Dial
	rest            = reportstest.Rest
	within          = reportstest.Within
)

// fixture is a collector in memory with its clock, its stores and its handler.
type fixture struct {
	*reports.Collector
	clock     *reportstest.Clock
	index     *index.MemIndex
	authority *tiered.MemTier
	registry  *prometheus.Registry
	handler   *Handler
	added     atomic.Uint32 // reports that were added; each has a body of its own
}

// setup returns a fixture. The functions change options before they are used.
func setup(t testing.TB, change func(*reports.Options, *Options)) *fixture {
	t.Helper()
	f := &fixture{clock: reportstest.NewClock(), index: index.NewMemIndex(), authority: new(tiered.MemTier),
		registry: prometheus.NewRegistry()}
	o := &reports.Options{Registerer: f.registry, Now: f.clock.Now}
	ho := &Options{Registerer: f.registry, Gatherer: f.registry, ID: "c1", Hostname: "box", Version: "1.2"}
	if change != nil {
		change(o, ho)
	}
	var err error
	if f.Collector, err = reports.New(f.index, f.authority, o); err != nil {
		t.Fatal(err)
	}
	if f.handler, err = New(f.Collector, ho); err != nil {
		t.Fatal(err)
	}
	return f
}

// serve answers a request with the headers given as "Name: value".
func (f *fixture) serve(method, target string, body []byte, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, bytes.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w
}

// probeHeaders are what a probe of Scope sends with a report.
var probeHeaders = []string{
	"Content-Type: application/msgpack", "Content-Encoding: gzip", "Authorization: Scope-Probe token=s3cret",
	"X-Scope-Probe-ID: 7b889450379efc96", "X-Scope-Probe-Version: 1.13.2",
}

// post posts a report as a probe does, and fails the test unless it is taken.
func (f *fixture) post(t testing.TB, body []byte, headers ...string) {
	t.Helper()
	if w := f.serve("POST", "/api/report", body, append(headers, probeHeaders...)...); w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Fatalf("post: status %d: %s", w.Code, w.Body)
	}
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func (f *fixture) add(t testing.TB, tenant string, r *report.Report, probe string) {
	t.Helper()
	if err := f.Add(t.Context(), tenant, r, reports.Origin{Probe: probe, Body: []byte{byte(f.added.Add(1))}}); err != nil {
		t.Fatal(err)
	}
}

// live returns the live window.
func (f *fixture) live(t testing.TB, tenant string) *report.Report {
	t.Helper()
	r, err := f.Report(t.Context(), tenant, f.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// shared returns the options of services that share a bus and a cache.
func shared(bus shortcuts.Bus, cache tiered.Tier) func(*reports.Options, *Options) {
	return func(o *reports.Options, h *Options) { o.Bus, o.ShortcutCache, h.TenantHeader = bus, cache, orgHeader }
}

// waitOn waits for a tenant's shortcuts until the test ends.
func (f *fixture) waitOn(t testing.TB, tenant string) <-chan struct{} {
	t.Helper()
	c := make(chan struct{}, 1)
	if err := f.Shortcuts().WaitOn(tenant, c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Shortcuts().UnWait(tenant, c) })
	return c
}

// closed fails the test when a fixture does not close.
func (f *fixture) closed(t testing.TB) {
	t.Helper()
	if err := f.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func signalled(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// counted returns the sum of the series of a metric with all these label values.
func counted(t testing.TB, from prometheus.Gatherer, name string, values ...string) (sum float64) {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "scope_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			found := 0
			for _, l := range m.GetLabel() {
				if slices.Contains(values, l.GetValue()) {
					found++
				}
			}
			if found == len(values) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// sent and heard return how many shortcuts had a result.
func (f *fixture) sent(t testing.TB, result string) int {
	t.Helper()
	return int(counted(t, f.registry, "shortcut_sends_total", result))
}

func (f *fixture) heard(t testing.TB, result string) int {
	t.Helper()
	return int(counted(t, f.registry, "shortcut_messages_total", result))
}
