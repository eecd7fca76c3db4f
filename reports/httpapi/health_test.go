package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/health"
	"github.com/timeblob/timeblob/reports/internal/reportstest"
	"github.com/timeblob/timeblob/tiered"
)

// faulty is a fixture whose stores fail on demand.
type faulty struct {
	*fixture
	index        *faulttest.Index
	blobs, cache *faulttest.Tier
	log          *bytes.Buffer
}

// setupFaulty returns a collector on stores that fail, with one cache. Its
// first tick has ended.
func setupFaulty(t testing.TB) *faulty {
	t.Helper()
	f := &faulty{fixture: &fixture{clock: reportstest.NewClock()}, index: faulttest.NewIndex(index.NewMemIndex(), 1),
		blobs: faulttest.NewTier(new(tiered.MemTier), 1), cache: faulttest.NewTier(&tiered.MemTier{Overwrite: true}, 2), log: new(bytes.Buffer)}
	o := &reports.Options{Now: f.clock.Now}
	o.Store.Caches = []tiered.Cache{{Name: "memcached", Tier: f.cache}}
	var err error
	if f.Collector, err = reports.New(f.index, f.blobs, o); err != nil {
		t.Fatal(err)
	}
	if f.handler, err = New(f.Collector, &Options{TenantHeader: orgHeader, Logger: slog.New(slog.NewTextHandler(f.log, nil))}); err != nil {
		t.Fatal(err)
	}
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

// ready asks and checks what is said.
func (f *fixture) ready(t testing.TB, code int, lines ...string) {
	t.Helper()
	w := f.serve("GET", "/readyz", nil)
	if want := strings.Join(lines, "\n") + "\n"; w.Code != code || w.Body.String() != want {
		t.Errorf("%d %q, want %d %q", w.Code, w.Body, code, want)
	}
	if w := f.serve("GET", "/healthz", nil); w.Code != 200 || w.Body.String() != "ok\n" {
		t.Errorf("healthz: %d %q", w.Code, w.Body)
	}
}

var errRefused = errors.New("dial tcp 10.1.2.3:8000: refused")

// TestReady checks that each store that fails or hangs is named, and a cache's fault
// is a note.
func TestReady(t *testing.T) {
	t.Parallel()
	const failed, slow = "failed: the collector's log says why", "no answer within 2s"
	for name, c := range map[string]struct {
		index       faulttest.Fault
		blobs, memo []faulttest.Fault
		code        int
		lines       []string
	}{
		"all is well":  {code: 200, lines: []string{"ready"}},
		"index fails":  {index: faulttest.Fault{Err: errRefused}, code: 503, lines: []string{"index: " + failed}},
		"index hangs":  {index: faulttest.Fault{Hang: true}, code: 503, lines: []string{"index: " + slow}},
		"blobs fail":   {blobs: []faulttest.Fault{{Err: errRefused}}, code: 503, lines: []string{"blobs: " + failed}},
		"blobs hang":   {blobs: []faulttest.Fault{{Hang: true}}, code: 503, lines: []string{"blobs: " + slow}},
		"cache fails":  {memo: []faulttest.Fault{{Err: errRefused}}, code: 200, lines: []string{"ready", "note: cache memcached: " + failed}},
		"cache hangs":  {memo: []faulttest.Fault{{Hang: true}}, code: 200, lines: []string{"ready", "note: cache memcached: " + slow}},
		"all is wrong": {faulttest.Fault{Hang: true}, []faulttest.Fault{{Err: errRefused}}, []faulttest.Fault{{Err: errRefused}}, 503, []string{"index: " + slow, "blobs: " + failed, "note: cache memcached: " + failed}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := setupFaulty(t)
				f.index.Decide(func(faulttest.Call) faulttest.Fault { return c.index })
				for _, fault := range c.blobs {
					f.blobs.Inject(fault)
				}
				for _, fault := range c.memo {
					f.cache.Inject(fault)
				}
				begun := time.Now()
				f.ready(t, c.code, c.lines...)
				if took := time.Since(begun); took > 3*time.Second {
					t.Errorf("took %v", took)
				}
				f.index.Heal()
				f.blobs.Heal()
				f.cache.Heal()
				time.Sleep(health.MaxAge)
				f.ready(t, 200, "ready")
				wrong := len(c.lines)
				if c.code == 200 {
					wrong--
				}
				if said := f.log.String(); strings.Count(said, "check failed") != wrong || strings.Count(said, "passes again") != wrong {
					t.Errorf("logged %s", said)
				}
			})
		})
	}
}

// TestReadyIsCheap checks that however many ask, each store is asked once a second,
// also while it hangs.
func TestReadyIsCheap(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]faulttest.Fault{"well": {Delay: 10 * time.Millisecond}, "failing": {Err: errRefused}, "hanging": {Hang: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := setupFaulty(t)
				before := f.index.Calls(faulttest.Query)
				f.index.Decide(func(faulttest.Call) faulttest.Fault { return fault })
				var wg sync.WaitGroup
				for range 1000 {
					wg.Go(func() { f.serve("GET", "/readyz", nil) })
					time.Sleep(time.Millisecond)
				}
				wg.Wait()
				if n := f.index.Calls(faulttest.Query) - before; n > 2 {
					t.Errorf("the index was asked %d times in a second", n)
				}
				if n := strings.Count(f.log.String(), "check failed"); n > 1 {
					t.Errorf("logged %d times", n)
				}
			})
		})
	}
}

// TestReadyLeavesNobodyWaiting checks that a check that does not obey its context,
// or panics, is an answer as well.
func TestReadyLeavesNobodyWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := setup(t, func(_ *reports.Options, h *Options) {
			h.Ready = []health.Check{
				{Name: "deaf", Run: func(context.Context) error { <-release; return nil }},
				{Name: "broken", Run: func(context.Context) error { panic("x") }},
				{Name: "peers", Run: func(context.Context) error { return health.Unready("none is\nknown yet") }},
			}
		})
		lines := []string{"deaf: no answer within 2s", "broken: failed: the collector's log says why", "peers: none is known yet"}
		for range 3 {
			f.ready(t, 503, lines...)
			time.Sleep(health.MaxAge)
		}
		close(release)
		synctest.Wait()
		f.ready(t, 503, lines[1:]...)
	})
}

// TestReadyAfterTheFirstTick checks that a collector is ready once Run has ended a
// tick.
func TestReadyAfterTheFirstTick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := setup(t, func(o *reports.Options, _ *Options) { o.Now = nil })
		f.ready(t, 503, "first tick: has not ended yet")
		ran := make(chan error, 1)
		go func() { ran <- f.Run(t.Context()) }()
		time.Sleep(2900 * time.Millisecond)
		f.ready(t, 503, "first tick: has not ended yet")
		time.Sleep(health.MaxAge + 100*time.Millisecond)
		f.ready(t, 200, "ready")
		f.handler.Withdraw()
		f.ready(t, 503, "shutting down")
		if err := f.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.ready(t, 503, "shutting down")
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

// TestDrain checks that who is late is told when to come again, who is being served
// is served, and Drain waits for them.
func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := setup(t, nil)
		inside, release := make(chan struct{}), make(chan struct{})
		slow := f.handler.untilDrained(func(http.ResponseWriter, *request) error {
			close(inside)
			<-release
			return nil
		})
		served := make(chan error, 1)
		go func() {
			served <- slow(httptest.NewRecorder(), &request{Request: httptest.NewRequest("POST", "/api/report", nil)})
		}()
		<-inside
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.handler.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a report under way: %v", err)
		}
		w := f.serve("POST", "/api/report", encode(t, hosts("h1")), probeHeaders...)
		if w.Code != 503 || w.Header().Get("Retry-After") != "3" || w.Header().Get("Connection") != "close" || !strings.Contains(w.Body.String(), "closing") {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
		if w := f.serve("GET", "/api/report", nil); w.Code != 200 || strings.Contains(w.Body.String(), "h1;") {
			t.Errorf("a question: %d %s", w.Code, w.Body)
		}
		close(release)
		for range 2 {
			if err := f.handler.Drain(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// Example_ready makes readiness depend on more than the stores.
func Example_ready() {
	known := 0
	c, _ := reports.New(index.NewMemIndex(), new(tiered.MemTier), nil)
	h, _ := New(c, &Options{Ready: []health.Check{{Name: "collectors", Run: func(context.Context) error {
		if known == 0 {
			return health.Unready("none is known yet")
		}
		return nil
	}}}})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	fmt.Print(w.Code, " ", w.Body)
	// Output: 503 collectors: none is known yet
}
