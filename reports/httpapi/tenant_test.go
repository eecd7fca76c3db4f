package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/internal/logtest"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/internal/reportstest"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/reports/tenants"
)

// tokenFile gives two tenants, the single one and peers their tokens.
const tokenFile = "acme token=acme-token token=acme-other\nother token=other-token\n\"\" token=single-token\n* token=peer-token\n"

// bearer returns the header that brings a token.
func bearer(token string) string { return "Authorization: Bearer " + token }

// guarded returns a fixture with tokens, a tenant header or none, and a host of
// its name for each tenant.
func guarded(t *testing.T, header string) *fixture {
	t.Helper()
	f := setup(t, func(o *reports.Options, h *Options) { o.Tenants, h.TenantHeader = table(t, tokenFile), header })
	for _, tenant := range []string{"acme", "other", ""} {
		f.add(t, tenant, hosts("host-of-"+tenant), "")
	}
	return f
}

// withHeader are requests to a collector with a tenant header, and their tenants; none for refused requests.
var withHeader = map[string]struct {
	headers []string
	code    int
	tenant  string
}{
	"bearer":                   {[]string{bearer("acme-token")}, 200, "acme"},
	"another token":            {[]string{bearer("acme-other")}, 200, "acme"},
	"another tenant":           {[]string{bearer("other-token")}, 200, "other"},
	"single tenant":            {[]string{bearer("single-token")}, 200, ""},
	"bearer in capitals":       {[]string{"Authorization: BEARER   acme-token "}, 200, "acme"},
	"probe":                    {[]string{"Authorization: Scope-Probe token=acme-token"}, 200, "acme"},
	"probe, spelled freely":    {[]string{`Authorization: scope-probe  Token = "acme-token"`}, 200, "acme"},
	"agreeing header":          {[]string{bearer("acme-token"), acme}, 200, "acme"},
	"empty header":             {[]string{bearer("acme-token"), orgHeader + ": "}, 200, "acme"},
	"other's header":           {[]string{bearer("acme-token"), orgHeader + ": other"}, 403, ""},
	"single tenant's header":   {[]string{bearer("single-token"), acme}, 403, ""},
	"two headers":              {[]string{bearer("acme-token"), acme, acme}, 400, ""},
	"bad header":               {[]string{bearer("acme-token"), orgHeader + ": a b"}, 400, ""},
	"peer":                     {[]string{bearer("peer-token"), acme}, 200, "acme"},
	"peer for another":         {[]string{bearer("peer-token"), orgHeader + ": other"}, 200, "other"},
	"probe as peer":            {[]string{"Authorization: Scope-Probe token=peer-token", acme}, 200, "acme"},
	"peer for nobody":          {[]string{bearer("peer-token")}, 401, ""},
	"peer for a bad tenant":    {[]string{bearer("peer-token"), orgHeader + ": >"}, 400, ""},
	"nothing":                  {nil, 401, ""},
	"header alone":             {[]string{acme}, 401, ""},
	"unknown token":            {[]string{bearer("acme-tokem"), acme}, 401, ""},
	"name for a token":         {[]string{bearer("acme"), acme}, 401, ""},
	"star for a token":         {[]string{bearer("*"), acme}, 401, ""},
	"empty token":              {[]string{bearer(""), acme}, 401, ""},
	"empty token of a probe":   {[]string{"Authorization: Scope-Probe token=", acme}, 401, ""},
	"no token of a probe":      {[]string{"Authorization: Scope-Probe acme-token", acme}, 401, ""},
	"another key of a probe":   {[]string{"Authorization: Scope-Probe id=acme-token", acme}, 401, ""},
	"no scheme":                {[]string{"Authorization: acme-token", acme}, 401, ""},
	"another scheme":           {[]string{"Authorization: Basic acme-token", acme}, 401, ""},
	"two tokens":               {[]string{bearer("acme-token"), bearer("acme-token")}, 400, ""},
	"two tokens in one header": {[]string{bearer("acme-token, acme-other")}, 401, ""},
	"10 kB of a token":         {[]string{bearer(strings.Repeat("x", 10_000))}, 401, ""},
	"bytes for a token":        {[]string{bearer("\xff\xfe\x00")}, 401, ""},
}

func TestTokens(t *testing.T) {
	t.Parallel()
	f := guarded(t, orgHeader)
	for name, c := range withHeader {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := f.serve("GET", "/api/report", nil, append(c.headers, "Accept: application/msgpack")...)
			if w.Code != c.code {
				t.Fatalf("%d %s; want %d", w.Code, w.Body, c.code)
			}
			if asked := w.Header().Get("WWW-Authenticate"); strings.HasPrefix(asked, `Bearer realm="collector"`) != (c.code == 401) && name != "peer for nobody" {
				t.Errorf("%d, WWW-Authenticate: %q", w.Code, asked)
			}
			if c.code != 200 {
				if text := w.Body.String(); strings.Contains(text, "-token") || strings.Contains(text, "-other") || strings.Count(text, "\n") != 1 {
					t.Errorf("said %q", text)
				}
				return
			}
			r, err := wire.DecodeMsgpack(w.Body.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			equal(t, r, hosts("host-of-"+c.tenant))
		})
	}
}

// TestTokensOfNoSubject checks that the tenant of a token, too, is refused on every
// path when there is a bus and its id is no subject.
func TestTokensOfNoSubject(t *testing.T) {
	t.Parallel()
	f := setup(t, func(o *reports.Options, h *Options) {
		o.Bus, o.Tenants, h.TenantHeader = new(reportstest.Bus), table(t, "a..b token=t\n"), orgHeader
	})
	for _, path := range []string{"/api", "/api/report", "/api/probes", "/api/wait", "/admin/", "/admin/summary", "/api/held?start=" + human.Stamp(noon)} {
		if w := f.serve("GET", path, nil, bearer("t")); w.Code != 400 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// TestTokensWithoutHeader checks that where no header names tenants, tokens do.
func TestTokensWithoutHeader(t *testing.T) {
	t.Parallel()
	f := guarded(t, "")
	for _, c := range []struct {
		headers []string
		code    int
		what    string // the host's tenant, or the reason
	}{
		{[]string{bearer("acme-token")}, 200, "acme"},
		{[]string{bearer("acme-token"), orgHeader + ": other"}, 200, "acme"},
		{[]string{bearer("single-token")}, 200, ""},
		{[]string{bearer("peer-token"), acme}, 403, "no header for that is configured"},
		{[]string{acme}, 401, "no token: send header Authorization"},
		{nil, 401, "no token"},
	} {
		w := f.serve("GET", "/api/report", nil, c.headers...)
		if w.Code != c.code || c.code != 200 && !strings.Contains(w.Body.String(), c.what) {
			t.Errorf("%q: %d %s; want %d %s", c.headers, w.Code, w.Body, c.code, c.what)
		} else if c.code == 200 {
			sameJSON(t, w.Body.Bytes(), asJSON(t, hosts("host-of-"+c.what)))
		}
	}
}

// TestEveryPathNeedsAToken checks that every path needs a token, with any method, whether it exists or not. The documented exceptions do not.
func TestEveryPathNeedsAToken(t *testing.T) {
	t.Parallel()
	f := guarded(t, orgHeader)
	paths := []string{"/api/control/ws", "/healthz", "/readyz", "/metrics/", "/api/report/", "//", "*", "/healthz/../api/report"}
	for path := range f.handler.routes {
		paths = append(paths, path)
	}
	for _, path := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "DELETE"} {
			target := path
			if path == "/api/wait" {
				target += "?timeout=1ms" // instead of 30 s
			}
			w := f.serve(method, target, nil, acme)
			free := path == "/" || path == "/metrics" || path == "/healthz" || path == "/readyz"
			if (w.Code == 401) == free {
				t.Errorf("%s %s without a token: %d", method, path, w.Code)
			}
			if w := f.serve(method, target, nil, bearer("acme-token")); w.Code == 401 || w.Code == 403 {
				t.Errorf("%s %s with a token: %d %s", method, path, w.Code, w.Body)
			}
		}
	}
}

// TestTokensChange checks that what a new table says holds from the next request on.
func TestTokensChange(t *testing.T) {
	t.Parallel()
	var said atomic.Pointer[tenants.Table]
	f := setup(t, func(_ *reports.Options, h *Options) { h.Tenants, h.TenantHeader = said.Load, orgHeader })
	body := encode(t, hosts("h1"))
	for _, c := range []struct {
		text        string
		code, first int // with the header alone, with the first token
	}{
		{"", 200, 200}, {"acme token=first", 401, 200}, {"acme token=second", 401, 401}, {"other token=first", 401, 403}, {"acme rate=5", 200, 200},
	} {
		said.Store(table(t, c.text)())
		if w := f.serve("POST", "/api/report", body, acme, mp, gz); w.Code != c.code {
			t.Errorf("%q, header: %d %s", c.text, w.Code, w.Body)
		}
		if w := f.serve("POST", "/api/report", body, acme, mp, gz, "Authorization: Scope-Probe token=first"); w.Code != c.first {
			t.Errorf("%q, token: %d %s", c.text, w.Code, w.Body)
		}
	}
}

// TestTokensAreNotTold checks that no log and no metric holds a token, known or not.
func TestTokensAreNotTold(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	f := setup(t, func(o *reports.Options, h *Options) {
		o.Tenants, h.TenantHeader = table(t, "acme token=known-s3cret rate=1"), orgHeader
		h.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.Logger = h.Logger
	})
	f.handler.routes["/panic"] = route{"panic", map[string]answerer{"GET": func(http.ResponseWriter, *request) error { panic("x") }}}
	for _, token := range []string{"known-s3cret", "unknown-s3cret"} {
		for range 3 {
			f.serve("POST", "/api/report", nil, "Authorization: Scope-Probe token="+token)
			f.serve("GET", "/panic", nil, bearer(token), orgHeader+": other")
			f.serve("GET", "/api", nil, bearer(token), orgHeader+": other")
		}
	}
	if text := log.String(); strings.Contains(text, "s3cret") || strings.Count(text, "\n") < 10 {
		t.Errorf("logged %s", text)
	}
	if text := f.serve("GET", "/metrics", nil).Body.String(); strings.Contains(text, "s3cret") || !strings.Contains(text, `reason="rate"`) {
		t.Errorf("metrics: %s", text)
	}
}

// TestTenantsWithBus checks that with a bus, ids that are no subject are refused at
// the edge; without one they are ids like others.
func TestTenantsWithBus(t *testing.T) {
	t.Parallel()
	with, without := setup(t, shared(new(reportstest.Bus), nil)), setup(t, shared(nil, nil))
	defer with.closed(t)
	body := encode(t, hosts("h1"))
	for tenant, ok := range map[string]bool{"a": true, "a.b": true, "-._-": true,
		".": false, "..": false, ".a": false, "a.": false, "a..b": false} {
		refused := with.CheckTenant(tenant)
		if isA[*index.TenantError](refused) == ok {
			t.Errorf("tenant %q: %v", tenant, refused)
		}
		want := map[bool]int{true: 200, false: 400}[ok]
		if w := with.serve("POST", "/api/report", body, append(probeHeaders, orgHeader+": "+tenant)...); w.Code != want {
			t.Errorf("post of %q: %d %s", tenant, w.Code, w.Body)
		}
		if w := with.serve("GET", "/api/wait?timeout=1ms", nil, orgHeader+": "+tenant); w.Code != map[bool]int{true: 204, false: 400}[ok] {
			t.Errorf("wait of %q: %d %s", tenant, w.Code, w.Body)
		}
		if w := without.serve("POST", "/api/report", body, append(probeHeaders, orgHeader+": "+tenant)...); w.Code != 200 {
			t.Errorf("post of %q without a bus: %d %s", tenant, w.Code, w.Body)
		}
	}
	if err := with.CheckTenant("a b"); !isA[*index.TenantError](err) {
		t.Errorf("a b: %v", err)
	}
}

// TestBasicAuth checks that a user name and password identify a tenant like a token.
func TestBasicAuth(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte("probe:sums:colon"))
	f := setup(t, func(o *reports.Options, h *Options) {
		o.Tenants = table(t, "acme basic=probe:s3cret\nother basic=sha256:"+hex.EncodeToString(sum[:])+" token=t0ken")
	})
	f.add(t, "acme", hosts("h-acme"), "")
	f.add(t, "other", hosts("h-other"), "")
	for name, c := range map[string]struct {
		credentials string
		code        int
		says        string
	}{
		"acme":           {"Basic " + base64.StdEncoding.EncodeToString([]byte("probe:s3cret")), 200, "h-acme"},
		"other, hashed":  {"Basic " + base64.StdEncoding.EncodeToString([]byte("probe:sums:colon")), 200, "h-other"},
		"other, token":   {"Bearer t0ken", 200, "h-other"},
		"wrong password": {"Basic " + base64.StdEncoding.EncodeToString([]byte("probe:wrong")), 401, "unknown here"},
		"as a token":     {"Bearer probe:s3cret", 401, "of no tenant"},
		"none":           {"", 401, "no token"},
	} {
		w := f.serve("GET", "/api/report", nil, "Authorization: "+c.credentials)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.says) || (w.Header().Get("WWW-Authenticate") != "") != (c.code == 401) {
			t.Errorf("%s: %d %v %.100s", name, w.Code, w.Header(), w.Body)
		}
	}
	body := encode(t, hosts("h2"))
	if w := f.serve("POST", "/api/report", body, "Content-Type: application/msgpack", "Content-Encoding: gzip",
		"Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte("probe:s3cret"))); w.Code != 200 {
		t.Errorf("post: %d %s", w.Code, w.Body)
	}
}

// TestTokenHint checks that the first question without a token is logged with a hint,
// once.
func TestTokenHint(t *testing.T) {
	t.Parallel()
	said := new(logtest.Journal)
	f := setup(t, func(o *reports.Options, h *Options) {
		o.Tenants, h.Logger = table(t, "acme token=t0ken"), said.Logger()
	})
	f.serve("GET", "/api/nothing", nil)
	f.serve("GET", "/api/report", nil, "Authorization: Bearer wrong")
	if n := said.Lines("cannot send tokens"); n != 0 {
		t.Errorf("%d hints without reason", n)
	}
	for range 3 {
		f.serve("GET", "/api/report", nil)
	}
	if n := said.Lines("cannot send tokens"); n != 1 {
		t.Errorf("%d hints: %s", n, said)
	}
}
