package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/internal/reportstest"
	"github.com/timeblob/timeblob/reports/peers"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// cluster is collectors that share stores, each behind a server of its own,
// and a querier that asks them all.
type cluster struct {
	*reports.Querier
	peers      *peers.Set
	clock      *reportstest.Clock
	index      index.Index
	authority  tiered.Tier
	registry   *prometheus.Registry
	collectors []*member
	handler    *Handler
}

// member is one collector of a cluster. Its hook, when set, sees requests first.
type member struct {
	*reports.Collector
	handler *Handler
	server  *httptest.Server
	hook    atomic.Pointer[func(w http.ResponseWriter, r *http.Request) (done bool)]
	apart   atomic.Int64 // of its clock from the others', nanoseconds
}

func (m *member) name() string { return strings.TrimPrefix(m.server.URL, "http://") }

func (m *member) intercept(hook func(w http.ResponseWriter, r *http.Request) bool) {
	m.hook.Store(&hook)
}

// newCluster starts n collectors on stores in memory. The functions change
// options before they are used.
func newCluster(t testing.TB, n int, change func(*reports.Options, *querierOptions, *cluster)) *cluster {
	t.Helper()
	c := &cluster{clock: reportstest.NewClock(), index: index.NewMemIndex(), authority: new(tiered.MemTier),
		registry: prometheus.NewRegistry()}
	qo := &querierOptions{QuerierOptions: reports.QuerierOptions{Registerer: c.registry, Now: c.clock.Now},
		peers: peers.Options{TenantHeader: tenantHeader, Registerer: c.registry, Timeout: time.Minute}}
	o := &reports.Options{Now: c.clock.Now}
	if change != nil {
		change(o, qo, c)
	}
	var urls []string
	for range n {
		m := c.member(t, *o)
		c.collectors = append(c.collectors, m)
		urls = append(urls, m.server.URL)
	}
	c.ask(t, strings.Join(urls, ","), qo)
	var err error
	if c.handler, err = NewQuery(c.Querier, &Options{TenantHeader: tenantHeader}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *cluster) member(t testing.TB, o reports.Options) *member {
	t.Helper()
	m, others := new(member), o.Now
	o.Now = func() time.Time { return others().Add(time.Duration(m.apart.Load())) }
	var err error
	if m.Collector, err = reports.New(c.index, c.authority, &o); err != nil {
		t.Fatal(err)
	}
	if m.handler, err = New(m.Collector, &Options{TenantHeader: tenantHeader}); err != nil {
		t.Fatal(err)
	}
	m.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hook := m.hook.Load(); hook == nil || !(*hook)(w, r) {
			m.handler.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(m.server.Close)
	return m
}

// add gives a report to the collector at a place.
func (c *cluster) add(t testing.TB, place int, tenant string, r *report.Report) {
	t.Helper()
	if err := c.collectors[place].Add(t.Context(), tenant, r, reports.Origin{}); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) flush(t testing.TB, places ...int) {
	t.Helper()
	for _, i := range places {
		if err := c.collectors[i].Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// want compares an answer with the merge of reports, and what it misses.
func (c *cluster) want(t testing.TB, a reports.Answer, err error, missing []string, all ...*report.Report) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.Missing, missing) {
		t.Errorf("missing %q, want %q", a.Missing, missing)
	}
	equal(t, a.Report, merged(t, all...))
}

func (c *cluster) get(target string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", target, nil)
	r.Header.Set(tenantHeader, "a")
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	return w
}

// querierOptions are the options of a querier and of its collectors.
type querierOptions struct {
	reports.QuerierOptions
	peers peers.Options
}

// ask makes the querier, of the collectors in a list.
func (c *cluster) ask(t testing.TB, text string, o *querierOptions) {
	t.Helper()
	list, err := peers.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if c.peers, err = peers.New(list, &o.peers); err != nil {
		t.Fatal(err)
	}
	c.peers.Refresh(t.Context())
	if c.Querier, err = reports.NewQuerier(c.index, c.authority, c.peers, &o.QuerierOptions); err != nil {
		t.Fatal(err)
	}
}
