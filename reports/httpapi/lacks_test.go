package httpapi

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/internal/reportstest"
	"github.com/timeblob/timeblob/reports/peers"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
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
	for _, m := range c.collectors { // a proxy that answers 404 in place of what is known to be ours
		m.intercept(func(w http.ResponseWriter, r *http.Request) bool { http.NotFound(w, r); return true })
	}
	a, err = c.Range(t.Context(), "a", noon.Add(-time.Hour), noon.Add(-time.Minute))
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
	var log bytes.Buffer
	c := newCluster(t, 2, func(_ *reports.Options, q *querierOptions, _ *cluster) {
		q.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	c.add(t, 1, "a", hosts("other"))
	c.collectors[0].intercept(func(w http.ResponseWriter, r *http.Request) bool {
		h := heldAt()
		h.Sealed[0].Value, h.Sealed[0].Err = nil, errors.New("rusty")
		body, err := peers.EncodeHoldings(w.Header(), h)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(body)
		return true
	})
	a, err := c.Report(t.Context(), "a", noon)
	c.want(t, a, err, []string{"entry k/1 of 2026-11-22T11:59:57.000000000Z of " + c.collectors[0].name(),
		"entry k/2 of 2026-11-22T11:59:58.000000000Z of " + c.collectors[0].name()}, hosts("h3"), hosts("open"), hosts("other"))
	if n := counted(t, c.registry, "collectors_missing_total"); n != 1 {
		t.Errorf("%v missing were counted, want 1", n)
	}
	if said := log.String(); strings.Count(said, "level=WARN") != 1 || !strings.Contains(said, "values=2") || !strings.Contains(said, "rusty") {
		t.Errorf("the log is not one warning:\n%s", said)
	}
}

// TestAnAnswerToAnotherQuestion has a collector answer with values outside the range that was asked for, as a cache in front of it
// may do.
func TestAnAnswerToAnotherQuestion(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	h := heldAt()
	c.collectors[0].intercept(func(w http.ResponseWriter, r *http.Request) bool {
		body, err := peers.EncodeHoldings(w.Header(), h)
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
	unread := "entry k/2 of 2026-11-22T11:59:58.000000000Z of " + c.collectors[0].name()
	if c.handler.ServeHTTP(w, r); w.Code != 200 || w.Header().Get(headerMissing) != unread {
		t.Errorf("the same answer to its own question: %d %v", w.Code, w.Header())
	}
	h.Sealed = nil // the open tick alone
	c.clock.Advance(time.Minute)
	for _, q := range []struct {
		from, to int // seconds after noon
		since    int // seconds before noon
		answers  bool
	}{{-60, -30, 5, false}, {1, 2, 5, false}, {-60, -5, 5, false}, {-60, -4, 5, true}, {0, 1, 0, true}, {-60, 0, 0, false}} {
		h.Since = noon.Add(time.Duration(-q.since) * time.Second).UnixNano()
		a, err := c.Range(t.Context(), "a", noon.Add(time.Duration(q.from)*time.Second), noon.Add(time.Duration(q.to)*time.Second))
		if q.answers {
			c.want(t, a, err, nil, hosts("open"))
		} else {
			c.want(t, a, err, []string{c.collectors[0].name()})
		}
	}
	c.collectors[0].hook.Store(nil)
	if w := c.fromCollector(t, "/api/held?start=2026-11-22T11:59:57Z&end=2026-11-22T12:00:01Z"); w.Code != 200 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("what is held: %d %v", w.Code, w.Header())
	}
}

// fromCollector returns an answer of the first collector.
func (c *cluster) fromCollector(t *testing.T, target string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", target, nil)
	r.Header.Set(tenantHeader, "a")
	w := httptest.NewRecorder()
	c.collectors[0].handler.ServeHTTP(w, r)
	return w
}

// TestACutAnswerDropsNoShortcut has a collector's answer cut after a value that it cannot read, or that would supersede a shortcut.
func TestACutAnswerDropsNoShortcut(t *testing.T) {
	t.Parallel()
	bus, cache := new(reportstest.Bus), new(tiered.MemTier)
	c := newCluster(t, 2, func(_ *reports.Options, q *querierOptions, _ *cluster) { q.Bus, q.ShortcutCache = bus, cache })
	waiter := make(chan struct{}, 1)
	if err := c.Shortcuts().WaitOn("a", waiter); err != nil {
		t.Fatal(err)
	}
	defer c.Shortcuts().UnWait("a", waiter)
	key := index.RowAt("a", noon.UnixNano()).BlobKey(noon.UnixNano())
	said := container("c1", "h1")
	said.Shortcut = true
	if err := cache.Put(t.Context(), key, encode(t, said)); err != nil {
		t.Fatal(err)
	}
	if err := bus.Publish(t.Context(), "a", []byte(key)); err != nil {
		t.Fatal(err)
	}
	<-waiter
	var at atomic.Int64
	c.collectors[0].intercept(func(w http.ResponseWriter, r *http.Request) bool {
		h := heldAt()
		h.Sealed = h.Sealed[at.Load():]
		body, err := peers.EncodeHoldings(w.Header(), h)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(body[:len(body)-10])
		return true
	})
	for _, first := range []int{1, 0} { // the value that cannot be read comes first
		at.Store(int64(first))
		a, err := c.Report(t.Context(), "a", noon)
		c.want(t, a, err, []string{c.collectors[0].name()}, said)
	}
}

// TestAShortcutThatCannotBeReadIsNamed has a collector hold a shortcut that does not decode.
func TestAShortcutThatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	c.collectors[0].intercept(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", "multipart/mixed; boundary=b")
		w.Header().Set("Timeblob-Version", "v-1")
		w.Header().Set("Timeblob-Next", strconv.FormatInt(noon.UnixNano(), 10))
		_, _ = io.WriteString(w, "--b\r\nTimeblob-Role: shortcut\r\nTimeblob-Key: k/1\r\n\r\n\xc1\r\n--b--")
		return true
	})
	a, err := c.Report(t.Context(), "a", noon)
	c.want(t, a, err, []string{"shortcut k/1 of " + c.collectors[0].name()})
	a, err = c.Range(t.Context(), "a", noon.Add(-time.Hour), noon.Add(time.Minute))
	c.want(t, a, err, nil)
}

// TestACollectorOfScopeTakesThePlaceOfOurs has a collector tell what it holds, and then answer as one of Scope's.
func TestACollectorOfScopeTakesThePlaceOfOurs(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	c.add(t, 0, "a", hosts("h0"))
	a, err := c.Report(t.Context(), "a", noon)
	c.want(t, a, err, nil, hosts("h0"))
	var held atomic.Int64
	c.collectors[0].intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/api/held" {
			held.Add(1)
			http.NotFound(w, r)
		}
		return r.URL.Path == "/api/held"
	})
	for range 3 {
		a, err = c.Report(t.Context(), "a", noon)
		c.want(t, a, err, nil, hosts("h0"))
	}
	if held.Load() != 1 {
		t.Errorf("asked %d times what it holds, want once", held.Load())
	}
}
