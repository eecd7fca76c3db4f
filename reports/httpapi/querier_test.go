package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/internal/reportstest"
	"github.com/timeblob/timeblob/reports/peers"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

const tenantHeader = "X-Scope-OrgID"

// TestQuerierIsExact asks about windows and ranges of reports that are stored,
// on their way, and in open ticks, at two collectors. A range that reaches past a
// collector's last seal includes its open tick.
func TestQuerierIsExact(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, nil)
	ctx := t.Context()
	c.add(t, 0, "a", hosts("h0"))
	c.add(t, 0, "b", hosts("other"))
	c.flush(t, 0) // at noon
	c.clock.Advance(3 * time.Second)
	c.add(t, 1, "a", hosts("h1"))
	c.flush(t, 1) // 3 s after
	c.clock.Advance(3 * time.Second)
	c.add(t, 0, "a", hosts("h2"))
	gone, leave := context.WithCancel(ctx)
	leave()
	_ = c.collectors[0].Flush(gone) // 6 s after: sealed, not stored
	c.clock.Advance(3 * time.Second)
	c.add(t, 0, "a", hosts("h3")) // in the open ticks, 9 s after
	c.add(t, 1, "a", hosts("h4"))
	r := func(ids ...string) (all []*report.Report) {
		for _, id := range ids {
			all = append(all, hosts(id))
		}
		return all
	}
	a, err := c.Report(ctx, "a", c.clock.Now())
	c.want(t, a, err, nil, r("h0", "h1", "h2", "h3", "h4")...)
	for _, q := range []struct {
		from, to int // seconds after noon
		want     []string
	}{{-10, 0, nil}, {0, 3, []string{"h0"}}, {0, 4, []string{"h0", "h1"}},
		{1, 7, []string{"h1", "h2"}}, {6, 9, []string{"h2"}}, {7, 10, []string{"h3", "h4"}}} {
		from, to := noon.Add(time.Duration(q.from)*time.Second), noon.Add(time.Duration(q.to)*time.Second)
		a, err := c.Range(ctx, "a", from, to)
		c.want(t, a, err, nil, r(q.want...)...)
		a, err = c.Report(ctx, "a", to.Add(-time.Second))
		if to.Add(-time.Second).Before(c.clock.Now()) {
			brute, berr := c.Range(ctx, "a", to.Add(-16*time.Second), to.Add(-time.Second))
			if berr != nil || err != nil {
				t.Fatal(err, berr)
			}
			equal(t, a.Report, brute.Report)
		}
	}
	a, err = c.Report(ctx, "b", c.clock.Now())
	c.want(t, a, err, nil, hosts("other"))
	a, err = c.Report(ctx, "nobody", c.clock.Now())
	c.want(t, a, err, nil)
	c.flush(t, 0, 1)
	a, err = c.Report(ctx, "a", c.clock.Now())
	c.want(t, a, err, nil, r("h0", "h1", "h2", "h3", "h4")...)
}

// sampled is a report that shows in an answer's Sampling whether it was
// counted twice, and in its containers that it is there.
func sampled(id int) *report.Report {
	r := container(fmt.Sprintf("c%06d", id), "h")
	r.Sampling = report.Sampling{Count: 1, Total: 1}
	r.TS = noon
	return r
}

// TestQuerierWhileCollectorsRun posts to two collectors that seal and store all
// the time, and asks: every report acknowledged before a question is in its
// answer, and none twice.
func TestQuerierWhileCollectorsRun(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, func(o *reports.Options, q *querierOptions, _ *cluster) {
		o.Now, q.Now = time.Now, time.Now
		o.Live.Tick, o.Live.Window = 20*time.Millisecond, time.Minute
		q.Window, q.StoreTimeout = time.Minute, time.Minute
	})
	ctx, stop := context.WithCancel(t.Context())
	var running, adding, asking sync.WaitGroup
	var acknowledged atomic.Int64
	for i, m := range c.collectors {
		running.Go(func() { _ = m.Run(ctx) })
		adding.Go(func() {
			for n := range 150 {
				c.add(t, i, "a", sampled(i*1000+n))
				acknowledged.Add(1)
				time.Sleep(time.Millisecond)
			}
		})
	}
	var done atomic.Bool
	asking.Go(func() {
		for !done.Load() && !t.Failed() {
			least := int(acknowledged.Load())
			a, err := c.Report(ctx, "a", time.Now().Add(time.Second))
			if err != nil || len(a.Missing) > 0 {
				t.Error(a.Missing, err)
				return
			}
			if n := containers(a.Report); n < least || n != int(a.Report.Sampling.Count) {
				t.Errorf("%d reports, %d counted, want %d at least and each once", n, a.Report.Sampling.Count, least)
			}
		}
	})
	adding.Wait()
	done.Store(true)
	asking.Wait()
	stop()
	running.Wait()
	c.flush(t, 0, 1)
	a, err := c.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil || containers(a.Report) != 300 || a.Report.Sampling.Count != 300 {
		t.Errorf("at last %d of 300 reports, error %v", containers(a.Report), err)
	}
}

// TestQuerierNamesMissingCollectors has one collector of two, and then both,
// fail in many ways.
func TestQuerierNamesMissingCollectors(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(w http.ResponseWriter, r *http.Request){
		"500":            func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken on purpose", 500) },
		"cut off":        func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"hangs":          func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"something else": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
		"no end": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", `multipart/mixed; boundary="b"`)
			w.Header().Set("Timeblob-Version", "v")
			w.Header().Set("Timeblob-Next", "1")
			_, _ = io.WriteString(w, "--b\r\nTimeblob-Role: open\r\n\r\n")
		},
		"too much": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", `multipart/mixed; boundary="b"`)
			w.Header().Set("Timeblob-Version", "v")
			w.Header().Set("Timeblob-Next", "1")
			_, _ = io.WriteString(w, "--b\r\nTimeblob-Role: open\r\n\r\n"+strings.Repeat("x", 2<<20))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 2, func(_ *reports.Options, q *querierOptions, _ *cluster) {
				q.peers.MaxAnswer = 1 << 20
				if name == "hangs" {
					q.peers.Timeout = 2 * time.Second
				}
			})
			c.add(t, 0, "a", hosts("stored"))
			c.flush(t, 0)
			c.add(t, 0, "a", hosts("lost"))
			c.add(t, 1, "a", hosts("held"))
			hook := func(w http.ResponseWriter, r *http.Request) bool { fault(w, r); return true }
			c.collectors[0].intercept(hook)
			a, err := c.Report(t.Context(), "a", noon)
			c.want(t, a, err, []string{c.collectors[0].name()}, hosts("stored"), hosts("held"))
			w := c.get("/api/report")
			if got := w.Header().Get(headerMissing); w.Code != 200 || got != c.collectors[0].name() {
				t.Errorf("status %d, header %q", w.Code, got)
			}
			if n := counted(t, c.registry, "collectors_missing_total"); n != 2 {
				t.Errorf("%v missing were counted, want 2", n)
			}
			c.collectors[1].intercept(hook)
			c.wantNobody(t)
			c.clock.Advance(time.Minute) // the past comes from the store
			a, err = c.Report(t.Context(), "a", noon.Add(time.Second))
			both := []string{c.collectors[0].name(), c.collectors[1].name()}
			slices.Sort(both)
			c.want(t, a, err, both, hosts("stored"))
		})
	}
}

// wantNobody demands that a question about now is refused, and that each of the
// two collectors that did not answer is counted at each of two questions.
func (c *cluster) wantNobody(t *testing.T) {
	t.Helper()
	before := counted(t, c.registry, "collectors_missing_total")
	var none *reports.NoCollectorError
	if _, err := c.Report(t.Context(), "a", noon); !errors.As(err, &none) || len(none.Errs) != 2 {
		t.Errorf("without collectors: %v", err)
	}
	if w := c.get("/api/report"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("without collectors: %d %s", w.Code, w.Body)
	}
	if n := counted(t, c.registry, "collectors_missing_total"); n != before+4 {
		t.Errorf("%v missing were counted after two questions that nobody answered, want %v", n, before+4)
	}
}

// TestQuerierAsksScopesCollectors has one of Scope's among the collectors,
// which knows one path and answers it without gzip.
func TestQuerierAsksScopesCollectors(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, nil)
	var held, live atomic.Int64
	c.collectors[0].intercept(func(w http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Path {
		case "/api/held":
			held.Add(1)
			http.NotFound(w, r)
			return true
		case "/api/report":
			live.Add(1)
			r.Header.Del("Timeblob-Question")
			if r.URL.RawQuery != "" || r.Header.Get("Accept") != "application/msgpack" ||
				r.Header.Get("Accept-Encoding") != "identity" || r.Header.Get(tenantHeader) == "" {
				t.Errorf("asked %v with %v, not as Scope does", r.URL, r.Header)
			}
		}
		return false
	})
	c.add(t, 0, "a", hosts("of-scope"))
	c.flush(t, 0) // Scope's holds its window's reports also when they are stored
	c.add(t, 1, "a", hosts("h1"))
	c.flush(t, 1)
	c.add(t, 1, "a", hosts("h2"))
	for range 3 {
		a, err := c.Report(t.Context(), "a", noon.Add(time.Second))
		c.want(t, a, err, nil, hosts("of-scope"), hosts("h1"), hosts("h2"))
	}
	if held.Load() != 1 || live.Load() != 4 { // once to see whether it is a collector at all
		t.Errorf("asked %d times what it holds and %d times for its window, want 1 and 4", held.Load(), live.Load())
	}
	if ok, err := c.HasReports(t.Context(), "nobody", noon.Add(time.Second)); ok || err != nil {
		t.Errorf("reports of nobody: %v, %v", ok, err)
	}
	c.clock.Advance(time.Minute)
	a, err := c.Range(t.Context(), "a", noon, noon) // no time at all
	c.want(t, a, err, nil)
	a, err = c.Range(t.Context(), "a", noon, noon.Add(time.Second)) // the tick of h2 is still open
	c.want(t, a, err, nil, hosts("of-scope"), hosts("h1"), hosts("h2"))
}

// TestShortcutsOfScopesCollectors checks that what a shortcut said that one of
// Scope's collectors took, which only the bus and the cache tell, is in the live
// answer until a window has passed, and once.
func TestShortcutsOfScopesCollectors(t *testing.T) {
	t.Parallel()
	bus, cache := new(reportstest.Bus), new(tiered.MemTier)
	c := newCluster(t, 2, func(o *reports.Options, q *querierOptions, _ *cluster) {
		o.Bus, o.ShortcutCache, q.Bus, q.ShortcutCache = bus, cache, bus, cache
	})
	c.collectors[0].intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/api/held" {
			http.NotFound(w, r)
		}
		return r.URL.Path == "/api/held"
	})
	waiter := make(chan struct{}, 1)
	if err := c.Shortcuts().WaitOn("a", waiter); err != nil {
		t.Fatal(err)
	}
	defer c.Shortcuts().UnWait("a", waiter)
	at := noon.UnixNano() + 1000
	key := index.RowAt("a", at).BlobKey(at)
	said := sampled(1)
	said.Shortcut = true
	if err := cache.Put(t.Context(), key, encode(t, said)); err != nil {
		t.Fatal(err)
	}
	if err := bus.Publish(t.Context(), "a", []byte(key)); err != nil {
		t.Fatal(err)
	}
	<-waiter
	own := container("c2", "h1")
	own.Shortcut, own.TS, own.Sampling = true, noon.Add(time.Second), report.Sampling{Count: 1, Total: 1}
	c.add(t, 1, "a", own)
	c.add(t, 1, "a", hosts("h1"))
	a, err := c.Report(t.Context(), "a", noon.Add(time.Second))
	if err != nil || containers(a.Report) != 2 || a.Report.Sampling.Count != 2 {
		t.Errorf("%d shortcuts are shown, %d counted, error %v", containers(a.Report), a.Report.Sampling.Count, err)
	}
	c.clock.Advance(time.Minute)
	if a, err = c.Report(t.Context(), "a", c.clock.Now()); err != nil || containers(a.Report) != 0 {
		t.Errorf("a minute later: %d, error %v", containers(a.Report), err)
	}
}

// TestQuerierWithoutStore asks about now while the index fails.
func TestQuerierWithoutStore(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, func(_ *reports.Options, _ *querierOptions, c *cluster) { c.index = failingIndex{index.NewMemIndex()} })
	c.add(t, 0, "a", hosts("h0"))
	c.add(t, 1, "a", hosts("h1"))
	cut := sampled(1)
	cut.Shortcut = true
	c.add(t, 1, "a", cut)
	a, err := c.Report(t.Context(), "a", noon)
	c.want(t, a, err, []string{"store"}, hosts("h0"), hosts("h1"), cut)
	if _, err := c.Range(t.Context(), "a", noon, noon.Add(time.Second)); err == nil {
		t.Error("a range without the store is answered")
	}
}

// TestQuerierShowsShortcuts asks while collectors hold shortcuts, one of them
// held by both.
func TestQuerierShowsShortcuts(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, nil)
	cut := func(id string) *report.Report {
		r := container(id, "h1")
		r.Shortcut, r.TS, r.ID = true, noon, id
		return r
	}
	c.add(t, 0, "a", hosts("h0"))
	c.add(t, 0, "a", cut("c1"))
	c.add(t, 1, "a", cut("c1"))
	c.add(t, 1, "a", cut("c2"))
	a, err := c.Report(t.Context(), "a", noon)
	c.want(t, a, err, nil, hosts("h0"), cut("c1"), cut("c2"))
	a, err = c.Range(t.Context(), "a", noon.Add(-time.Second), noon.Add(time.Second))
	c.want(t, a, err, nil, hosts("h0"))
	if ok, err := c.HasReports(t.Context(), "b", noon); ok || err != nil {
		t.Errorf("reports of b: %v, %v", ok, err)
	}
}

// TestQueryHandler asks over HTTP what only a collector takes, and the rest.
func TestQueryHandler(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	c.add(t, 0, "a", hosts("h0"))
	c.flush(t, 0)
	c.add(t, 0, "a", hosts("h1"))
	r := httptest.NewRequest("POST", "/api/report", strings.NewReader("{}"))
	r.Header.Set(tenantHeader, "a")
	w := httptest.NewRecorder()
	if c.handler.ServeHTTP(w, r); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("a post: %d, allowed %s", w.Code, w.Header().Get("Allow"))
	}
	if w := c.get("/api/held?start=" + human.Stamp(noon)); w.Code != 421 {
		t.Errorf("what a querier holds: %d", w.Code)
	}
	for target, want := range map[string]string{
		"/api/probes":        `"hostname":"h1"`,
		"/api/probes?sparse": "true",
		"/api":               `"historic_reports":true`,
		"/admin/summary":     "\n1 report  ",
		"/api/report":        `"probe-h0"`,
	} {
		if w := c.get(target); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d, want %s in %.200s", target, w.Code, want, w.Body)
		}
	}
}

func TestNewQuerierErrors(t *testing.T) {
	t.Parallel()
	set, err := peers.New(list(t, "127.0.0.1:1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, fails := range map[string]func() (any, error){
		"no index":          func() (any, error) { return reports.NewQuerier(nil, new(tiered.MemTier), set, nil) },
		"no authority":      func() (any, error) { return reports.NewQuerier(index.NewMemIndex(), nil, set, nil) },
		"no peers":          func() (any, error) { return reports.NewQuerier(index.NewMemIndex(), new(tiered.MemTier), nil, nil) },
		"no collectors":     func() (any, error) { return peers.New(peers.List{}, nil) },
		"a timeout below 0": func() (any, error) { return peers.New(list(t, "127.0.0.1:1"), &peers.Options{Timeout: -1}) },
		"no querier":        func() (any, error) { return NewQuery(nil, nil) },
		"no collector":      func() (any, error) { return New(nil, nil) },
		"header":            func() (any, error) { return New(new(reports.Collector), &Options{TenantHeader: "a b"}) },
		"buffered":          func() (any, error) { return New(new(reports.Collector), &Options{MaxBuffered: 1}) },
		"timeout":           func() (any, error) { return New(new(reports.Collector), &Options{Timeout: -1}) },
	} {
		if _, err := fails(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// list returns the list of collectors in a text.
func list(t testing.TB, text string) peers.List {
	t.Helper()
	l, err := peers.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
