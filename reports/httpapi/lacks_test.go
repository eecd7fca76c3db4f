package httpapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/peers"
	"github.com/timeblob/timeblob/reports/report"
)

// TestADamagedJournalIsNamedByQueriers checks that a querier's answer carries that a collector's journal was damaged.
func TestADamagedJournalIsNamedByQueriers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, func(o *reports.Options, _ *querierOptions, _ *cluster) {
		o.JournalDamaged = func() bool { return true }
	})
	both := []string{"journal of " + c.collectors[0].name(), "journal of " + c.collectors[1].name()}
	slices.Sort(both)
	c.add(t, 0, "a", hosts("h0"))
	a, err := c.Report(t.Context(), "a", noon)
	c.want(t, a, err, both, hosts("h0"))
	a, err = c.Range(t.Context(), "a", noon.Add(-time.Hour), noon.Add(time.Minute))
	c.want(t, a, err, both, hosts("h0"))
	if w := c.get("/api/report"); w.Header().Get(headerMissing) != both[0]+", "+both[1] {
		t.Errorf("header %q", w.Header().Get(headerMissing))
	}
	for _, m := range c.collectors { // live windows are asked for, as beside one of Scope's
		m.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/api/held" {
				http.NotFound(w, r)
			}
			return r.URL.Path == "/api/held"
		})
	}
	q := &cluster{index: c.index, authority: c.authority} // which does not know the collectors yet
	q.ask(t, c.collectors[0].name()+","+c.collectors[1].name(), &querierOptions{QuerierOptions: reports.QuerierOptions{Now: c.clock.Now},
		peers: peers.Options{TenantHeader: tenantHeader}})
	a, err = q.Report(t.Context(), "a", noon)
	c.want(t, a, err, both, hosts("h0"))
	if err := q.Close(t.Context()); err != nil {
		t.Error(err)
	}
	a, err = c.Range(t.Context(), "a", noon.Add(-time.Hour), noon.Add(-time.Minute)) // 404 of what is known to be ours
	c.want(t, a, err, []string{both[0][len("journal of "):], both[1][len("journal of "):]})
	for _, m := range c.collectors {
		m.hook.Store(nil)
	}
	c.clock.Advance(2 * time.Minute)
	a, err = c.Report(t.Context(), "a", c.clock.Now())
	c.want(t, a, err, nil, hosts("h0")) // which is in the open tick
	a, err = c.Range(t.Context(), "a", noon.Add(time.Second), noon.Add(time.Minute))
	c.want(t, a, err, nil, hosts("h0"))
}

// heldAt is what a collector holds at noon: two values that can be read, one that cannot, and the open tick.
func heldAt() *reports.Holdings {
	at := func(key string, seconds int) index.Entry {
		return index.Entry{Time: noon.Add(time.Duration(-seconds) * time.Second).UnixNano(), Key: key}
	}
	return &reports.Holdings{Held: bucket.Held[*report.Report]{Version: "x-1", Next: noon.UnixNano(), Open: hosts("open"), IsOpen: true,
		Sealed: []bucket.HeldValue[*report.Report]{
			{Entry: at("k/1", 3), Value: hosts("h1"), Own: true},
			{Entry: at("k/2", 2), Err: errors.New("rotten"), Own: true},
			{Entry: at("k/3", 1), Value: hosts("h3"), Own: true},
		}}}
}

// TestAnUnreadableValueHidesNoOther has a collector hold a value that it cannot read. The querier's answer has the other values, and
// names that one.
func TestAnUnreadableValueHidesNoOther(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, nil)
	c.add(t, 1, "a", hosts("other"))
	c.collectors[0].intercept(func(w http.ResponseWriter, r *http.Request) bool {
		body, err := peers.EncodeHoldings(w.Header(), heldAt())
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(body)
		return true
	})
	a, err := c.Report(t.Context(), "a", noon)
	c.want(t, a, err, []string{"entry k/2 of 2026-11-22T11:59:58.000000000Z of " + c.collectors[0].name()},
		hosts("h1"), hosts("h3"), hosts("open"), hosts("other"))
}

// TestAnAnswerToAnotherQuestion has a collector answer with values outside the range that was asked for, as a cache in front of it
// may do.
func TestAnAnswerToAnotherQuestion(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	c.collectors[0].intercept(func(w http.ResponseWriter, r *http.Request) bool {
		body, err := peers.EncodeHoldings(w.Header(), heldAt())
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(body)
		return true
	})
	a, err := c.Range(t.Context(), "a", noon.Add(-time.Hour), noon.Add(-time.Minute))
	c.want(t, a, err, []string{c.collectors[0].name()})
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/api/report?start=2026-11-22T11:59:57Z&end=2026-11-22T12:00:01Z", nil)
	r.Header.Set(tenantHeader, "a")
	if c.handler.ServeHTTP(w, r); w.Code != 200 || w.Header().Get(headerMissing) == c.collectors[0].name() {
		t.Errorf("the same answer to its own question: %d %v", w.Code, w.Header())
	}
}
