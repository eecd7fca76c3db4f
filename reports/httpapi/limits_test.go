package httpapi

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/reports/tenants"
	"github.com/timeblob/timeblob/tiered"
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
func (f *fixture) refusedCount(t testing.TB, tenant, reason string) float64 {
	t.Helper()
	return counted(t, f.registry, "reports_refused_total", tenant, reason)
}

// TestTenantRate checks that a tenant posts as often as its rate says, and twice that
// at once; a post too many is refused unread, and others go on.
func TestTenantRate(t *testing.T) {
	t.Parallel()
	var said atomic.Pointer[tenants.Table]
	said.Store(table(t, "slow rate=2\nrare rate=0.1")())
	f := setup(t, func(o *reports.Options, h *Options) {
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
	f.clock.Advance(500 * time.Millisecond)
	burst("slow", 1, "1")
	burst("rare", 0, "10") // 9.5 s
	burst("other", 5, "1")
	said.Store(nil)
	f.clock.Advance(time.Second)
	burst("slow", 2, "1") // from the time before, at the old rate
	f.clock.Advance(time.Second)
	burst("slow", 10, "1")
	if got := [3]float64{f.refusedCount(t, "slow", "rate"), f.refusedCount(t, "rare", "rate"), f.refusedCount(t, "other", "rate")}; got != [3]float64{13, 6, 6} {
		t.Errorf("counted %v", got)
	}
	if w := f.serve("GET", "/api/report", nil, orgHeader+": slow"); w.Code != 200 {
		t.Errorf("a question: %d %s", w.Code, w.Body)
	}
}

// TestTenantPending lets a tenant fill its part of what may wait while the store
// is away: it is refused unread, and others go on, each within its own part.
func TestTenantPending(t *testing.T) {
	t.Parallel()
	posts := 0
	next := func() []byte { // no report twice; not gzipped, so that each is decoded and counts in full
		posts++
		return plainReport(t, fmt.Sprintf("%02d", posts))
	}
	body := next()
	size := report.Size(upgraded(t, decode(t, gzipped(t, body))))
	var opts *reports.Options
	f := setup(t, func(o *reports.Options, h *Options) {
		h.TenantHeader, o.Live.MaxPending, o.Live.Backoff, opts = orgHeader, 12*size, time.Millisecond, o
		o.Tenants = table(t, fmt.Sprintf("large pending=%d\ntiny pending=%d", 6*size, len(body)/2))
	})
	store := faulttest.NewTier(f.authority, 1)
	store.Inject(faulttest.Fault{Op: faulttest.Put, Err: errors.New("away")})
	f.use(t, store, opts)
	try := func(tenant string) *httptest.ResponseRecorder {
		return f.serve("POST", "/api/report", next(), "Content-Type: application/msgpack", orgHeader+": "+tenant)
	}
	fill := func(tenant string, n int) {
		t.Helper()
		for range n {
			if w := try(tenant); w.Code != 200 {
				t.Fatalf("%s: %d %s", tenant, w.Code, w.Body)
			}
		}
		wantRefused(t, f.postUnread(t, tenant), 429, "3", fmt.Sprintf("%d bytes of this tenant wait to be stored", int64(n)*size))
	}
	fill("greedy", 3)
	fill("large", 6)
	wantRefused(t, try("tiny"), 413, "", "for what waits of one tenant")
	for range 3 {
		if w := try("other"); w.Code != 200 {
			t.Errorf("another tenant: %d %s", w.Code, w.Body)
		}
	}
	wantRefused(t, try("fourth"), 503, "3", "wait to be stored")
	for tenant, reason := range map[string]string{"greedy": "pending", "large": "pending", "tiny": "size", "fourth": "full"} {
		if n := f.refusedCount(t, tenant, reason); n != 1 {
			t.Errorf("%s: %v counted as %s", tenant, n, reason)
		}
	}
	store.Heal()
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range f.Tenants() {
		if share, err := f.Share(t.Context(), tenant); share.Bytes != 0 || err != nil {
			t.Errorf("%s: %d bytes are still pending, %v", tenant, share.Bytes, err)
		}
	}
	if w := try("greedy"); w.Code != 200 {
		t.Errorf("after the flush: %d %s", w.Code, w.Body)
	}
}

// plainReport returns a report that is not gzipped.
func plainReport(t testing.TB, id string) []byte {
	t.Helper()
	r := hosts("h1")
	r.ID = id
	plain, err := wire.AppendMsgpack(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// use puts a collector over another authority in place of the fixture's.
func (f *fixture) use(t testing.TB, authority tiered.Tier, opts *reports.Options) {
	t.Helper()
	var err error
	if f.Collector, err = reports.New(f.index, authority, opts); err != nil {
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

// TestTenantSizes checks that a tenant's own sizes stand in place of all others', be
// they smaller or larger.
func TestTenantSizes(t *testing.T) {
	t.Parallel()
	f := setup(t, func(o *reports.Options, h *Options) {
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
		if n := f.refusedCount(t, tenant, "size"); n != want {
			t.Errorf("%s: %v counted, want %v", tenant, n, want)
		}
	}
}

// TestRefusedMetrics checks that each refused post is counted once under one of a few
// reasons, by tenant as long as those are few, and not for ever.
func TestRefusedMetrics(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *reports.Options, h *Options) { h.TenantHeader = orgHeader })
	f.serve("POST", "/api/report", []byte("x"), acme, mp)
	f.serve("POST", "/api/report", []byte("x"), acme, mp, "Content-Encoding: br")
	f.serve("POST", "/api/report", []byte("x"), mp)
	f.serve("GET", "/api/report?timestamp=x", nil, acme)
	const text = "# HELP scope_reports_refused_total Posted reports refused, by reason; rate and pending are the tenant's own limits.\n" +
		"# TYPE scope_reports_refused_total counter\nscope_reports_refused_total{reason=\"invalid\",user=\"acme\"} 2\n"
	if err := testutil.GatherAndCompare(f.registry, strings.NewReader(text), "scope_reports_refused_total"); err != nil {
		t.Error(err)
	}
}

// TestTenantLimit checks that a new tenant above the limit is refused unread, and the
// tenants that are known go on.
func TestTenantLimit(t *testing.T) {
	t.Parallel()
	f := setup(t, func(o *reports.Options, h *Options) { h.TenantHeader, o.Live.MaxTenants = orgHeader, 1 })
	body := encode(t, hosts("h1"))
	f.post(t, body, orgHeader+": known")
	wantRefused(t, f.postUnread(t, "new"), 503, "3", `tenant "new" is new, and the collector holds reports of 1 tenant, which is its limit`)
	f.post(t, body, orgHeader+": known")
	if n := f.refusedCount(t, "new", "full"); n != 1 {
		t.Errorf("%v counted", n)
	}
}

// TestLargeBodiesThatHardlyCompress posts reports that are larger than usual also when they are compressed.
func TestLargeBodiesThatHardlyCompress(t *testing.T) {
	t.Parallel()
	random := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{}).Read(random) //nolint:errcheck // it never fails
	plain := fmt.Appendf(nil, `{"ID":"one","Host":{"nodes":{"one;<host>":{"id":"one;<host>","topology":"host","latest":`+
		`{"host_name":{"timestamp":"2026-01-01T00:00:00Z","value":"%x"}}}}}}`, random)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(plain)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	f := setup(t, func(*reports.Options, *Options) {})
	for what, body := range map[string][]byte{"": plain, "gzip": packed.Bytes()} {
		if w := f.serve("POST", "/api/report", body, "Content-Type: application/json", "Content-Encoding: "+what); w.Code != 200 {
			t.Errorf("%q, %d bytes: %d %s", what, len(body), w.Code, w.Body)
		}
	}
}
