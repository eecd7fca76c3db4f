package httpapi

import (
	"compress/gzip"
	"context"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report"
)

// TestAProxyThatHidesWhatIsHeld has a proxy answer 404 for /api/held only, in front of a collector that holds a report which is not stored and
// older than a window. An answer about now has the live window. An answer about the past names the collector, and does not when the
// collector is one of Scope's.
func TestAProxyThatHidesWhatIsHeld(t *testing.T) {
	t.Parallel()
	for name, scopes := range map[string]bool{"ours": false, "Scope's": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 1, nil)
			c.add(t, 0, "a", hosts("held"))
			c.seal(t, 0)
			c.clock.Advance(time.Minute)
			c.add(t, 0, "a", hosts("now"))
			c.collectors[0].intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if scopes {
					r.Header.Del("Timeblob-Question")
				}
				if r.URL.Path == "/api/held" {
					http.NotFound(w, r)
				}
				return r.URL.Path == "/api/held"
			})
			var missing []string
			if !scopes {
				missing = []string{c.collectors[0].name()}
			}
			for range 2 { // the second time it is known
				a, err := c.Range(t.Context(), "a", noon.Add(-time.Minute), noon.Add(time.Second))
				c.want(t, a, err, missing)
				a, err = c.Report(t.Context(), "a", c.clock.Now())
				c.want(t, a, err, nil, hosts("now"))
			}
		})
	}
}

// TestAProxyWithoutACollector has a proxy answer 404 for everything, as one does whose collector is gone.
func TestAProxyWithoutACollector(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, nil)
	c.collectors[0].intercept(func(w http.ResponseWriter, r *http.Request) bool { http.NotFound(w, r); return true })
	c.add(t, 1, "a", hosts("h1"))
	c.clock.Advance(time.Minute)
	a, err := c.Range(t.Context(), "a", noon.Add(-time.Minute), noon.Add(time.Second))
	c.want(t, a, err, []string{c.collectors[0].name()}, hosts("h1"))
	a, err = c.Report(t.Context(), "a", c.clock.Now())
	c.want(t, a, err, []string{c.collectors[0].name()}, hosts("h1"))
}

// seal ends a collector's tick and does not store it.
func (c *cluster) seal(t *testing.T, place int) {
	t.Helper()
	gone, leave := context.WithCancel(t.Context())
	leave()
	if err := c.collectors[place].Flush(gone); err == nil {
		t.Fatal("the tick was stored")
	}
}

// TestAProxyThatKeepsAnswers has a proxy answer a question again as it was answered before. In between the open tick was stored. The
// second answer has its report once, and names the collector.
func TestAProxyThatKeepsAnswers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, nil)
	var kept sync.Map // answers by URL
	c.collectors[0].intercept(func(w http.ResponseWriter, r *http.Request) bool {
		now := httptest.NewRecorder()
		c.collectors[0].handler.ServeHTTP(now, r)
		answer, _ := kept.LoadOrStore(r.URL.String(), now)
		maps.Copy(w.Header(), answer.(*httptest.ResponseRecorder).Header())
		_, _ = w.Write(answer.(*httptest.ResponseRecorder).Body.Bytes())
		return true
	})
	c.add(t, 0, "a", sampled(1))
	var missing []string
	for range 2 {
		a, err := c.Range(t.Context(), "a", noon.Add(-time.Hour), noon.Add(time.Hour))
		c.want(t, a, err, missing, sampled(1))
		c.clock.Advance(time.Second)
		c.flush(t, 0)
		missing = []string{c.collectors[0].name()}
	}
}

// TestAProxyThatChangesTheTenant has a collector find another tenant in the request. No answer has that tenant's reports, and each names
// the collector. While the index fails the collector is asked for its live window.
func TestAProxyThatChangesTheTenant(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]bool{"held": false, "live": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 2, func(_ *reports.Options, _ *querierOptions, c *cluster) {
				if fails {
					c.index = failingIndex{index.NewMemIndex()}
				}
			})
			c.add(t, 0, "b", hosts("secret"))
			c.add(t, 1, "a", hosts("h1"))
			c.collectors[0].intercept(func(_ http.ResponseWriter, r *http.Request) bool {
				if !fails || r.URL.Path == "/api/report" {
					r.Header.Set(tenantHeader, "b")
				}
				return false
			})
			a, err := c.Report(t.Context(), "a", noon)
			missing := []string{c.collectors[0].name()}
			if fails {
				missing = append([]string{"store"}, missing...)
			}
			c.want(t, a, err, missing, hosts("h1"))
		})
	}
}

// kinds are what a proxy in front of a collector does with a request. Each returns the answer in place of the collector's.
var kinds = []func(f *mischief, own *httptest.ResponseRecorder, w http.ResponseWriter, r *http.Request){
	func(_ *mischief, _ *httptest.ResponseRecorder, w http.ResponseWriter, r *http.Request) {
		http.NotFound(w, r)
	},
	func(_ *mischief, _ *httptest.ResponseRecorder, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	},
	func(_ *mischief, _ *httptest.ResponseRecorder, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	},
	func(_ *mischief, _ *httptest.ResponseRecorder, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/login", http.StatusFound)
	},
	func(_ *mischief, _ *httptest.ResponseRecorder, w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<html>")
	},
	func(_ *mischief, _ *httptest.ResponseRecorder, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
	},
	func(_ *mischief, own *httptest.ResponseRecorder, w http.ResponseWriter, _ *http.Request) { // cut, and told by nobody
		send(w, own, own.Body.Len()-1-rand.IntN(max(1, own.Body.Len()-1)))
	},
	func(_ *mischief, own *httptest.ResponseRecorder, w http.ResponseWriter, _ *http.Request) { // compressed, and nobody asked for it
		w.Header().Set("Content-Encoding", "gzip")
		zw := gzip.NewWriter(w)
		_, _ = zw.Write(own.Body.Bytes())
		_ = zw.Close()
	},
	func(f *mischief, own *httptest.ResponseRecorder, w http.ResponseWriter, r *http.Request) { // kept, whatever the question was
		kept, _ := f.kept.LoadOrStore(r.URL.Path, own)
		send(w, kept.(*httptest.ResponseRecorder), -1)
	},
	func(f *mischief, _ *httptest.ResponseRecorder, w http.ResponseWriter, r *http.Request) {
		r.Header.Set(tenantHeader, "b")
		f.handler.ServeHTTP(w, r)
	},
	func(_ *mischief, _ *httptest.ResponseRecorder, _ http.ResponseWriter, _ *http.Request) {
		panic(http.ErrAbortHandler)
	},
	func(_ *mischief, own *httptest.ResponseRecorder, w http.ResponseWriter, _ *http.Request) { // much later
		time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
		send(w, own, -1)
	},
}

// mischief is a proxy in front of a collector.
type mischief struct {
	*member
	kept sync.Map // answers by path
}

// send sends the first bytes of an answer, or all of it.
func send(w http.ResponseWriter, answer *httptest.ResponseRecorder, length int) {
	maps.Copy(w.Header(), answer.Header())
	body := answer.Body.Bytes()
	if length >= 0 {
		body = body[:length]
		w.Header().Del("Content-Length")
	}
	_, _ = w.Write(body)
}

// TestQuerierThroughFaultyProxies asks about now and about a range while collectors take, seal and store reports, and proxies in front of them do
// one kind of mischief now and then. No answer has a report twice, or one of another tenant. One that lacks a report which was
// acknowledged before names a collector.
func TestQuerierThroughFaultyProxies(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		t.Run(strconv.Itoa(kind), func(t *testing.T) {
			t.Parallel()
			throughFaultyProxies(t, kind)
		})
	}
}

func throughFaultyProxies(t *testing.T, kind int) {
	c := newCluster(t, 2, func(o *reports.Options, q *querierOptions, _ *cluster) {
		o.Now, q.Now = time.Now, time.Now
		o.Live.Tick, o.Live.Window = 10*time.Millisecond, time.Minute
		q.Window = time.Minute
	})
	ctx, stop := context.WithCancel(t.Context())
	var running, adding sync.WaitGroup
	defer running.Wait()
	defer stop()
	var acknowledged atomic.Int64
	var done atomic.Bool
	for i, m := range c.collectors {
		c.add(t, i, "b", sampled(900_000+i))
		f := &mischief{member: m}
		m.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if rand.IntN(3) > 0 {
				return false
			}
			own := httptest.NewRecorder()
			m.handler.ServeHTTP(own, r)
			kinds[kind](f, own, w, r)
			return true
		})
		running.Go(func() { _ = m.Run(ctx) })
		adding.Go(func() {
			for n := range 100 {
				c.add(t, i, "a", sampled(i*1000+n))
				acknowledged.Add(1)
				time.Sleep(2 * time.Millisecond)
			}
			done.Store(true)
		})
	}
	named := 0
	lacks := kind != len(kinds)-1 // an answer that comes late is whole
	for rounds := 0; (!done.Load() || lacks && named == 0 && rounds < 1000) && !t.Failed(); rounds++ {
		named += c.askTwice(t, &acknowledged)
	}
	adding.Wait()
	if t.Logf("%d answers named what they lacked", named); lacks && named == 0 {
		t.Error("nothing went wrong")
	}
}

// askTwice asks about now and about a range, and checks the answers. It returns how many named what they lacked.
func (c *cluster) askTwice(t *testing.T, acknowledged *atomic.Int64) (named int) {
	for _, now := range []bool{true, false} {
		least := int(acknowledged.Load())
		a, err := c.Report(t.Context(), "a", time.Now().Add(time.Second))
		if !now {
			a, err = c.Range(t.Context(), "a", time.Now().Add(-time.Hour), time.Now().Add(time.Second))
		}
		if err != nil && !isA[*reports.NoCollectorError](err) {
			t.Error(err)
			return named
		}
		if err != nil || len(a.Missing) > 0 {
			named++
		}
		if err != nil {
			continue
		}
		nodes := a.Report.Topologies[report.Container].Nodes
		if len(nodes) != int(a.Report.Sampling.Count) || len(nodes) < least && len(a.Missing) == 0 ||
			len(nodes) > 0 && nodes[len(nodes)-1].ID >= "c900000" {
			t.Errorf("%d reports, %d counted, %d acknowledged, missing %q", len(nodes), a.Report.Sampling.Count, least, a.Missing)
		}
	}
	return named
}
