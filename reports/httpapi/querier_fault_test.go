package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/peers"
)

// TestClocksApart checks that a collector whose clock is far from the querier's is
// named in an answer about now, which its reports are not in. Of one that is a few seconds behind,
// reports leave the answer early, and the clock is named.
func TestClocksApart(t *testing.T) {
	t.Parallel()
	for name, apart := range map[string]time.Duration{"ahead": time.Minute, "behind": -time.Minute,
		"a little": 2 * time.Second, "a little behind": -2 * time.Second, "hardly behind": -time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 2, nil)
			c.collectors[1].apart.Store(int64(apart))
			c.add(t, 0, "a", hosts("h0"))
			c.add(t, 1, "a", hosts("h1"))
			a, err := c.Report(t.Context(), "a", noon)
			if apart.Abs() < time.Minute {
				var missing []string
				if name == "a little behind" {
					missing = []string{"clock of " + c.collectors[1].name()}
				}
				c.want(t, a, err, missing, hosts("h0"), hosts("h1"))
				a, err = c.Range(t.Context(), "a", noon.Add(-time.Minute), noon.Add(time.Minute))
				c.want(t, a, err, nil, hosts("h0"), hosts("h1"))
				return
			}
			c.want(t, a, err, []string{c.collectors[1].name()}, hosts("h0"))
			c.collectors[0].apart.Store(int64(apart))
			var none *reports.NoCollectorError
			if _, err := c.Report(t.Context(), "a", noon); !errors.As(err, &none) || len(none.Errs) != 2 {
				t.Errorf("all clocks apart: %v", err)
			}
		})
	}
}

// TestMissingIsNamedEverywhere checks that each path on which a querier answers from
// what collectors hold says which of them it could not ask.
func TestMissingIsNamedEverywhere(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, nil)
	c.collectors[0].server.Close()
	for _, path := range []string{"/api", "/api/report", "/api/report?window=1m", "/api/probes", "/api/probes?sparse"} {
		w := c.get(path)
		if got := w.Header().Get(headerMissing); w.Code != 200 || got != c.collectors[0].name() {
			t.Errorf("%s: %d, missing %q", path, w.Code, got)
		}
	}
}

// TestFixedCollectorsAreKnownAtOnce checks that those whose addresses are given are
// asked before names are looked up and while none can be, and answers say which
// names those are.
func TestFixedCollectorsAreKnownAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	q := &cluster{index: c.index, authority: c.authority}
	registry := prometheus.NewRegistry()
	q.ask(t, c.collectors[0].name()+",srv:_api._tcp.collector.test", &querierOptions{
		QuerierOptions: reports.QuerierOptions{Now: c.clock.Now, Registerer: registry},
		peers:          peers.Options{TenantHeader: tenantHeader, Resolver: away{}}})
	c.add(t, 0, "a", hosts("h0"))
	for range 2 {
		a, err := q.Report(t.Context(), "a", noon)
		c.want(t, a, err, []string{"srv:_api._tcp.collector.test"}, hosts("h0"))
		q.peers.Refresh(t.Context())
	}
	if n := counted(t, registry, "collectors_missing_total"); n != 2 {
		t.Errorf("%v missing were counted, want 2", n)
	}
	if err := q.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestQueriersAmongCollectors checks that query services that are found under the
// name of collectors are not asked by each other on and on, and are named; also
// where live windows are asked for, beside one of Scope's collectors.
func TestQueriersAmongCollectors(t *testing.T) {
	t.Parallel()
	for _, scopes := range []bool{false, true} {
		c := newCluster(t, 1, nil)
		if scopes {
			c.collectors[0].intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/api/held" {
					http.NotFound(w, r)
				}
				return r.URL.Path == "/api/held"
			})
		}
		var asked atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) < 100 {
				c.handler.ServeHTTP(w, r)
			}
		}))
		defer server.Close()
		c.ask(t, c.collectors[0].server.URL+","+server.URL, &querierOptions{QuerierOptions: reports.QuerierOptions{Now: c.clock.Now},
			peers: peers.Options{TenantHeader: tenantHeader}})
		var err error
		if c.handler, err = NewQuery(c.Querier, &Options{TenantHeader: tenantHeader}); err != nil {
			t.Fatal(err)
		}
		c.add(t, 0, "a", hosts("h0"))
		a, err := c.Report(t.Context(), "a", noon)
		c.want(t, a, err, []string{strings.TrimPrefix(server.URL, "http://")}, hosts("h0"))
		if n := asked.Load(); n != 1 {
			t.Errorf("asked itself %d times, want once", n)
		}
	}
}

// away is a DNS server that does not answer.
type away struct{}

func (away) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, errors.New("server is away")
}
