package reports

import (
	"bytes"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/tenants"
	"github.com/timeblob/timeblob/tiered"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

// table returns what a tenants file says.
func table(t testing.TB, text string) func() *tenants.Table {
	t.Helper()
	parsed, err := tenants.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return func() *tenants.Table { return parsed }
}

// wantRefused checks an answer that refuses a post for now.
func wantRefused(t testing.TB, w *httptest.ResponseRecorder, code int, retryAfter, reason string) {
	t.Helper()
	if w.Code != code || w.Header().Get("Retry-After") != retryAfter || !strings.Contains(w.Body.String(), reason) {
		t.Errorf("%d, Retry-After %q, %s; want %d, %q, …%s…", w.Code, w.Header().Get("Retry-After"), w.Body, code, retryAfter, reason)
	}
}

// refusedCount is what is counted of a tenant's refused posts.
func (f *fixture) refusedCount(tenant, reason string) float64 {
	return testutil.ToFloat64(f.metrics.refused.WithLabelValues(tenant, reason))
}

// TestTenantRate holds: a tenant posts as often as its rate says, and twice that
// at once; a post too many is refused unread, and others go on.
func TestTenantRate(t *testing.T) {
	t.Parallel()
	var said atomic.Pointer[tenants.Table]
	said.Store(table(t, "slow rate=2\nrare rate=0.1")())
	f := setup(t, func(o *Options, h *HandlerOptions) {
		o.Tenants, o.TenantRate, h.TenantHeader = said.Load, 10, orgHeader
	})
	body := encode(t, hosts("h1"))
	try := func(tenant string) *httptest.ResponseRecorder {
		return f.serve("POST", "/api/report", body, append(probeHeaders, orgHeader+": "+tenant)...)
	}
	burst := func(tenant string, n int, retryAfter string) {
		t.Helper()
		for range n {
			if w := try(tenant); w.Code != 200 {
				t.Fatalf("%s: %d %s", tenant, w.Code, w.Body)
			}
		}
		for range 3 { // that it is refused costs it nothing
			wantRefused(t, try(tenant), 429, retryAfter, "too many reports a second")
		}
	}
	burst("slow", 4, "1")
	burst("rare", 1, "10")
	burst("other", 20, "1")
	wantRefused(t, f.postUnread(t, "slow"), 429, "1", "too many reports a second")
	f.clock.advance(500 * time.Millisecond)
	burst("slow", 1, "1")
	burst("rare", 0, "10") // 9.5 s
	burst("other", 5, "1")
	said.Store(nil)
	f.clock.advance(time.Second)
	burst("slow", 2, "1") // from the time before, at the old rate
	f.clock.advance(time.Second)
	burst("slow", 10, "1")
	if got := [3]float64{f.refusedCount("slow", "rate"), f.refusedCount("rare", "rate"), f.refusedCount("other", "rate")}; got != [3]float64{13, 6, 6} {
		t.Errorf("counted %v", got)
	}
	if w := f.serve("GET", "/api/report", nil, orgHeader+": slow"); w.Code != 200 {
		t.Errorf("a question: %d %s", w.Code, w.Body)
	}
}

// TestDefaultRate holds: by default a tenant may be of 3000 probes, and no limit
// is none.
func TestDefaultRate(t *testing.T) {
	t.Parallel()
	for limit, want := range map[float64]int{0: 2000, -1: 5000, 0.001: 1} {
		f := setup(t, func(o *Options, _ *HandlerOptions) { o.TenantRate = limit })
		taken := 0
		for range 5000 {
			if f.rates.take("a") == 0 {
				taken++
			}
		}
		if taken != want {
			t.Errorf("limit %v: %d at once, want %d", limit, taken, want)
		}
	}
}

// TestIdleRatesAreLetGo holds: however many tenants post once, little is held of
// them, and nothing is forgiven.
func TestIdleRatesAreLetGo(t *testing.T) {
	t.Parallel()
	f := setup(t, func(o *Options, _ *HandlerOptions) { o.Tenants = table(t, "slow rate=0.5") })
	if f.rates.take("slow") != 0 || f.rates.take("slow") == 0 {
		t.Fatal("the rate does not hold")
	}
	for i := range 100_000 {
		f.clock.advance(10 * time.Microsecond)
		if f.rates.take(fmt.Sprint("t", i)) != 0 {
			t.Fatal("a first report was refused")
		}
		if n := len(f.rates.limiters); n > fewRates {
			t.Fatalf("%d tenants are held", n)
		}
	}
	if f.rates.take("slow") == 0 {
		t.Error("a tenant over its limit was forgotten")
	}
	f.clock.advance(time.Second)
	f.rates.forgetIdle()
	if n := len(f.rates.limiters); n > 0 {
		t.Errorf("%d tenants are held in the end", n)
	}
}

// TestManyBusyRates holds: tenants that are not idle are held, however many.
func TestManyBusyRates(t *testing.T) {
	t.Parallel()
	f := setup(t, func(o *Options, _ *HandlerOptions) { o.TenantRate = 0.01 })
	for i := range 3 * fewRates {
		f.rates.take(fmt.Sprint("t", i))
	}
	for i := range 3 * fewRates {
		if f.rates.take(fmt.Sprint("t", i)) == 0 {
			t.Fatalf("t%d was forgotten", i)
		}
	}
	f.clock.advance(100 * time.Second)
	f.rates.forgetIdle()
	if n := len(f.rates.limiters); n > 0 || f.rates.most != fewRates {
		t.Errorf("%d tenants are held in the end, up to %d", n, f.rates.most)
	}
}

// TestTenantPending lets a tenant fill its part of what may wait while the store
// is away: it is refused unread, and others go on, each within its own part.
func TestTenantPending(t *testing.T) {
	t.Parallel()
	body := encode(t, hosts("h1")) // which waits as such while it is alone in its tick
	size := report.Size(upgraded(t, decode(t, body)))
	var opts *Options
	f := setup(t, func(o *Options, h *HandlerOptions) {
		h.TenantHeader, o.Live.MaxPending, o.Live.Backoff, opts = orgHeader, 12*size, time.Millisecond, o
		o.Tenants = table(t, fmt.Sprintf("large pending=%d\ntiny pending=%d", 6*size, len(body)-1))
	})
	store := tiertest.NewFaulty(f.authority, 1)
	store.Inject(tiertest.Fault{Op: tiertest.Put, Err: errors.New("away")})
	f.use(t, store, opts)
	fill := func(tenant string, n int) {
		t.Helper()
		for range n {
			f.post(t, body, orgHeader+": "+tenant)
		}
		wantRefused(t, f.postUnread(t, tenant), 429, "3", fmt.Sprintf("%d bytes of this tenant wait to be stored", int64(n)*size))
	}
	try := func(tenant string) *httptest.ResponseRecorder {
		return f.serve("POST", "/api/report", body, append(probeHeaders, orgHeader+": "+tenant)...)
	}
	fill("greedy", 3)
	fill("large", 6)
	wantRefused(t, try("tiny"), 413, "", "for what waits of one tenant")
	for range 3 {
		f.post(t, body, orgHeader+": other")
	}
	wantRefused(t, try("fourth"), 503, "3", "wait to be stored")
	for tenant, reason := range map[string]string{"greedy": "pending", "large": "pending", "tiny": "size", "fourth": "full"} {
		if n := f.refusedCount(tenant, reason); n != 1 {
			t.Errorf("%s: %v counted as %s", tenant, n, reason)
		}
	}
	store.Heal()
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range f.Tenants() {
		if n, _ := f.Collector.live.TenantPending(tenant); n != 0 {
			t.Errorf("%s: %d bytes are still pending", tenant, n)
		}
	}
	f.post(t, body, orgHeader+": greedy")
}

// use puts a collector over another authority in place of the fixture's.
func (f *fixture) use(t testing.TB, authority tiered.Tier, opts *Options) {
	t.Helper()
	var err error
	if f.Collector, err = New(f.index, authority, opts); err != nil {
		t.Fatal(err)
	}
	f.handler.collector = f.Collector
}

// postUnread posts a report that must be answered without its body.
func (f *fixture) postUnread(t testing.TB, tenant string) *httptest.ResponseRecorder {
	t.Helper()
	unread := &endless{}
	r := httptest.NewRequest("POST", "/api/report", unread)
	r.Header.Set(orgHeader, tenant)
	w := httptest.NewRecorder()
	if f.handler.ServeHTTP(w, r); unread.read > 0 {
		t.Errorf("%d bytes of the body were read", unread.read)
	}
	return w
}

// TestTenantSizes holds: a tenant's own sizes stand in place of all others', be
// they smaller or larger.
func TestTenantSizes(t *testing.T) {
	t.Parallel()
	f := setup(t, func(o *Options, h *HandlerOptions) {
		h.TenantHeader, h.MaxBody, h.MaxInflated, h.MaxBuffered = orgHeader, 2000, 8000, 2000
		o.Tenants = table(t, "small size=400\nlarge size=3000 inflated=20kB\nflat inflated=1000")
	})
	text := func(length int) []byte { return append(bytes.Repeat([]byte{' '}, length-2), "{}"...) }
	for _, c := range []struct {
		tenant string
		body   []byte
		code   int
		reason string
	}{
		{"other", text(2000), 200, ""},
		{"other", text(2001), 413, "larger than 2000 bytes"},
		{"other", gzipped(t, text(8000)), 200, ""},
		{"other", gzipped(t, text(8001)), 413, "8000 bytes when inflated"},
		{"small", text(400), 200, ""},
		{"small", text(401), 413, "larger than 400 bytes"},
		{"small", gzipped(t, text(8000)), 200, ""},
		{"large", text(3000), 200, ""},
		{"large", text(3001), 413, "larger than 3000 bytes"},
		{"large", gzipped(t, text(20_000)), 200, ""},
		{"large", gzipped(t, text(20_001)), 413, "20000 bytes when inflated"},
		{"flat", gzipped(t, text(1000)), 200, ""},
		{"flat", gzipped(t, text(1001)), 413, "1000 bytes when inflated"},
	} {
		headers := []string{js, orgHeader + ": " + c.tenant}
		if bytes.HasPrefix(c.body, []byte{0x1f}) {
			headers = append(headers, gz)
		}
		w := f.serve("POST", "/api/report", c.body, headers...)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.reason) {
			t.Errorf("%s, %d bytes: %d %s; want %d …%s…", c.tenant, len(c.body), w.Code, w.Body, c.code, c.reason)
		}
	}
	for tenant, want := range map[string]float64{"other": 2, "small": 1, "large": 2, "flat": 1} {
		if n := f.refusedCount(tenant, "size"); n != want {
			t.Errorf("%s: %v counted, want %v", tenant, n, want)
		}
	}
}

// TestRefusedMetrics holds: each refused post is counted once under one of a few
// reasons, by tenant as long as those are few, and not for ever.
func TestRefusedMetrics(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *Options, h *HandlerOptions) { h.TenantHeader = orgHeader })
	f.serve("POST", "/api/report", []byte("x"), acme, mp)
	f.serve("POST", "/api/report", []byte("x"), acme, mp, "Content-Encoding: br")
	f.serve("POST", "/api/report", []byte("x"), mp)
	f.serve("GET", "/api/report?timestamp=x", nil, acme)
	const text = "# HELP scope_reports_refused_total Posted reports refused, by reason: rate and pending are the tenant's own limits.\n" +
		"# TYPE scope_reports_refused_total counter\nscope_reports_refused_total{reason=\"invalid\",user=\"acme\"} 2\n"
	if err := testutil.GatherAndCompare(f.registry, strings.NewReader(text), "scope_reports_refused_total"); err != nil {
		t.Error(err)
	}
	for i := range maxTenantSeries + 100 {
		for _, reason := range []string{refusedRate, refusedSize, ""} {
			f.metrics.countRefused(fmt.Sprint("t", i), reason)
		}
	}
	if n := testutil.CollectAndCount(f.metrics.refused); n != 1+2*maxTenantSeries {
		t.Errorf("%d series", n)
	}
	if n := f.refusedCount(crowd, refusedRate); n != 101 {
		t.Errorf("%v counted for the crowd", n)
	}
	f.clock.advance(10 * time.Minute)
	f.metrics.forgetIdle()
	if n := testutil.CollectAndCount(f.metrics.refused); n != 0 {
		t.Errorf("%d series are left", n)
	}
}
