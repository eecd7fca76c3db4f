package reports

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

const orgHeader = "X-Scope-OrgID"

// TestRefusals names, for every route, what may be wrong with a request and
// what is answered.
func TestRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t, func(o *Options, h *HandlerOptions) {
		h.TenantHeader, h.MaxBody, h.MaxInflated, o.Live.MaxPending = orgHeader, 1<<16, 1<<18, 1<<20
	})
	plain := msgpack(t, hosts("h1"))
	blob := gzipped(t, plain)
	fat := hosts("h1")
	fat.Topologies[report.Host].Nodes[0].Adjacency = []string{strings.Repeat("x", 1<<18)}
	bomb := gzipped(t, make([]byte, 30<<20))
	const (
		acme = orgHeader + ": acme"
		mp   = "Content-Type: application/msgpack"
		js   = "Content-Type: application/json"
		gz   = "Content-Encoding: gzip"
	)
	for _, c := range []struct {
		name, method, target string
		body                 []byte
		headers              []string
		code                 int
		reason               string
	}{
		{"no type", "POST", "/api/report", blob, []string{acme, gz}, 400, `content type "" is neither`},
		{"wrong type", "POST", "/api/report", blob, []string{acme, gz, "Content-Type: text/plain"}, 400, "text/plain"},
		{"type like msgpack", "POST", "/api/report", blob, []string{acme, gz, "Content-Type: application/msgpack2"}, 400, "neither"},
		{"malformed type", "POST", "/api/report", blob, []string{acme, gz, "Content-Type: application/json; x"}, 400, "neither"},
		{"brotli", "POST", "/api/report", blob, []string{acme, mp, "Content-Encoding: br"}, 415, `"br"`},
		{"gzip twice", "POST", "/api/report", blob, []string{acme, mp, gz, gz}, 415, "gzip,gzip"},
		{"gzip not said", "POST", "/api/report", blob, []string{acme, mp}, 400, "send Content-Encoding: gzip"},
		{"not gzip", "POST", "/api/report", plain, []string{acme, mp, gz}, 400, "gunzip"},
		{"gzip cut", "POST", "/api/report", blob[:len(blob)-9], []string{acme, mp, gz}, 400, "ends too early"},
		{"gzip checksum", "POST", "/api/report", spoil(blob, len(blob)-6), []string{acme, mp, gz}, 400, "checksum"},
		{"gzip and more", "POST", "/api/report", append(bytes.Clone(blob), 'x'), []string{acme, mp, gz}, 400, "follows after its end"},
		{"bomb", "POST", "/api/report", bomb, []string{acme, mp, gz}, 413, "262144 bytes when inflated"},
		{"json bomb", "POST", "/api/report", bomb, []string{acme, js, gz}, 413, "262144 bytes when inflated"},
		{"too large", "POST", "/api/report", bytes.Repeat(plain, 300), []string{acme, mp}, 413, "larger than 65536 bytes"},
		{"msgpack cut", "POST", "/api/report", gzipped(t, plain[:len(plain)-3]), []string{acme, mp, gz}, 400, "ends too early"},
		{"msgpack cut, not gzip'd", "POST", "/api/report", plain[:len(plain)/2], []string{acme, mp}, 400, "decode report"},
		{"msgpack and more", "POST", "/api/report", append(bytes.Clone(plain), 1), []string{acme, mp}, 400, "follows after its end"},
		{"huge map", "POST", "/api/report", []byte("\xdf\xff\xff\xff\xff"), []string{acme, mp}, 400, "decode report"},
		{"deep", "POST", "/api/report", bytes.Repeat([]byte{0x91}, 50_000), []string{acme, mp}, 400, "decode report"},
		{"no report", "POST", "/api/report", []byte{0x01}, []string{acme, mp}, 400, "decode report"},
		{"empty", "POST", "/api/report", nil, []string{acme, mp}, 400, "ends too early"},
		{"empty json", "POST", "/api/report", nil, []string{acme, js}, 400, "decode report"},
		{"broken json", "POST", "/api/report", []byte(`{"Host":`), []string{acme, js}, 400, "decode report"},
		{"full", "POST", "/api/report", gzipped(t, msgpack(t, fat)), []string{acme, mp, gz}, 413, "when inflated"},

		{"no tenant", "POST", "/api/report", blob, []string{mp, gz}, 401, "send header X-Scope-OrgID"},
		{"empty tenant", "POST", "/api/report", blob, []string{mp, gz, orgHeader + ": "}, 401, "send header X-Scope-OrgID"},
		{"two tenants", "POST", "/api/report", blob, []string{mp, gz, acme, acme}, 400, "came 2 times"},
		{"wildcard tenant", "POST", "/api/report", blob, []string{mp, gz, orgHeader + ": >"}, 400, `tenant id ">"`},
		{"tenant with a space", "GET", "/api/report", nil, []string{orgHeader + ": a b"}, 400, `tenant id "a b"`},
		{"long tenant", "GET", "/api/report", nil, []string{orgHeader + ": " + strings.Repeat("a", 65)}, 400, "longer than 64 bytes"},
		{"no tenant to read", "GET", "/api/report", nil, nil, 401, "send header"},
		{"no tenant for probes", "GET", "/api/probes", nil, nil, 401, "send header"},
		{"no tenant for details", "GET", "/api", nil, nil, 401, "send header"},
		{"no tenant for a summary", "GET", "/admin/summary", nil, nil, 401, "send header"},

		{"bad timestamp", "GET", "/api/report?timestamp=yesterday", nil, []string{acme}, 400, `parameter timestamp: no time`},
		{"distant timestamp", "GET", "/api/report?timestamp=2300-01-01T00:00:00Z", nil, []string{acme}, 400, "from 1678 to 2262"},
		{"first timestamp", "GET", "/api/report?timestamp=-9223372036854775808", nil, []string{acme}, 400, "before the year 1678"},
		{"two timestamps", "GET", "/api/report?timestamp=1&timestamp=2", nil, []string{acme}, 400, "came 2 times"},
		{"bad window", "GET", "/api/report?window=15", nil, []string{acme}, 400, `"15" is no positive duration`},
		{"no window", "GET", "/api/report?window=0s", nil, []string{acme}, 400, "no positive duration"},
		{"start alone", "GET", "/api/report?start=1", nil, []string{acme}, 400, "end is missing"},
		{"end alone", "GET", "/api/report?end=1", nil, []string{acme}, 400, "start is missing"},
		{"end first", "GET", "/api/report?start=2&end=1", nil, []string{acme}, 400, "end is before start"},
		{"bad start", "GET", "/api/report?start=x&end=1", nil, []string{acme}, 400, "parameter start"},
		{"bad end", "GET", "/api/report?start=1&end=x", nil, []string{acme}, 400, "parameter end"},
		{"range and window", "GET", "/api/report?start=1&end=2&window=1s", nil, []string{acme}, 400, "does not go with"},
		{"long range", "GET", "/api/report?start=1&end=1999999999", nil, []string{acme}, 400, "longer than 744h0m0s"},
		{"long window", "GET", "/admin/summary?window=2000h", nil, []string{acme}, 400, "longer than 744h0m0s"},
		{"bad query", "GET", "/api/report?%zz", nil, []string{acme}, 400, "query of the URL"},
		{"bad flag", "GET", "/api/report?hideCommandLineArguments=maybe", nil, []string{acme}, 400, "neither true nor false"},
		{"other bad flag", "GET", "/api/report?hideEnvironmentVariables=2", nil, []string{acme}, 400, "neither true nor false"},
		{"bad sparse", "GET", "/api/probes?sparse=some", nil, []string{acme}, 400, "neither true nor false"},
		{"summary's query", "GET", "/admin/summary?%zz", nil, []string{acme}, 400, "query of the URL"},
		{"summary's timestamp", "GET", "/admin/summary?timestamp=x", nil, []string{acme}, 400, "parameter timestamp"},
		{"probes' query", "GET", "/api/probes?%zz", nil, []string{acme}, 400, "query of the URL"},

		{"method of report", "DELETE", "/api/report", nil, []string{acme}, 405, "use GET, HEAD, OPTIONS, POST"},
		{"method of probes", "POST", "/api/probes", nil, []string{acme}, 405, "use GET, HEAD, OPTIONS"},
		{"own method", "BREW", "/api", nil, []string{acme}, 405, `method "BREW"`},
		{"no path", "GET", "/api/control/ws", nil, []string{acme}, 404, `"/api/control/ws"`},
		{"slash too many", "GET", "/api/report/", nil, []string{acme}, 404, "no such path"},
		{"way out", "GET", "/api/../api/report", nil, []string{acme}, 404, "no such path"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := f.serve(c.method, c.target, c.body, c.headers...)
			if w.Code != c.code || !strings.Contains(w.Body.String(), c.reason) {
				t.Errorf("%d %s; want %d …%s…", w.Code, w.Body, c.code, c.reason)
			}
			if n := strings.Count(w.Body.String(), "\n"); n != 1 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
				t.Errorf("%d lines of %s", n, w.Header().Get("Content-Type"))
			}
			if allow := w.Header().Get("Allow"); (allow != "") != (c.code == 405) || !strings.Contains(w.Body.String(), allow) {
				t.Errorf("Allow: %q", allow)
			}
		})
	}
	t.Cleanup(func() {
		if f.authority.Len() != 0 || f.handler.buffered.used.Load() != 0 || len(f.handler.codings) != 0 {
			t.Error("something is held or stored of what was refused")
		}
	})
}

func spoil(blob []byte, at int) []byte {
	blob = bytes.Clone(blob)
	blob[at] ^= 1
	return blob
}

// TestPostForms holds: a report may come in all four forms.
func TestPostForms(t *testing.T) {
	t.Parallel()
	plain := msgpack(t, hosts("h1"))
	text := asJSON(t, hosts("h1"))
	for name, c := range map[string]struct {
		body    []byte
		headers []string
	}{
		"gzip'd msgpack":     {gzipped(t, plain), []string{"Content-Type: application/msgpack", "Content-Encoding: gzip"}},
		"gzip'd JSON":        {gzipped(t, text), []string{"Content-Type: application/json; charset=utf-8", "Content-Encoding: x-gzip"}},
		"msgpack":            {plain, []string{"Content-Type: application/msgpack"}},
		"JSON":               {text, []string{"Content-Type: Application/JSON", "Content-Encoding: identity"}},
		"gzip in two halves": {append(gzipped(t, plain[:20]), gzipped(t, plain[20:])...), []string{"Content-Type: application/msgpack", "Content-Encoding: GZIP"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, nil)
			if w := f.serve("POST", "/api/report", c.body, c.headers...); w.Code != 200 || w.Body.Len() != 0 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			equal(t, f.live(t, ""), hosts("h1"))
		})
	}
}

// TestProbesAndQueriers posts the corpus as probes do and asks as a query
// service does.
func TestProbesAndQueriers(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *Options, h *HandlerOptions) { h.TenantHeader = orgHeader })
	var came []*report.Report
	for _, c := range capturedReports(t, "hosts/*/*.msgpack.gz")[:30] {
		f.post(t, c.body, orgHeader+": acme")
		came = append(came, decode(t, c.body))
	}
	want := merged(t, came...)
	query := []string{"Accept: application/msgpack", "Accept-Encoding: identity", orgHeader + ": acme"}
	w := f.serve("GET", "/api/report", nil, query...)
	got, err := report.DecodeMsgpack(w.Body.Bytes())
	if err != nil || w.Header().Get("Content-Type") != "application/msgpack" || w.Header().Get("Content-Encoding") != "" {
		t.Fatalf("%d %v %v", w.Code, w.Header(), err)
	}
	equal(t, got, want)
	w = f.serve("GET", "/api/report", nil, orgHeader+": acme", "Accept: text/html, */*;q=0.1")
	if w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%v", w.Header())
	}
	sameJSON(t, w.Body.Bytes(), asJSON(t, want))
	w = f.serve("GET", "/api/report", nil, orgHeader+": other", "Accept: application/msgpack")
	if other, err := report.DecodeMsgpack(w.Body.Bytes()); err != nil || report.Summary(other) != "" {
		t.Errorf("another tenant: %v, %s", err, report.Summary(other))
	}

	var found []map[string]any
	w = f.serve("GET", "/api/probes", nil, orgHeader+": acme")
	if err := json.Unmarshal(w.Body.Bytes(), &found); err != nil || len(found) != 3 {
		t.Fatalf("probes: %v %s", err, w.Body)
	}
	if found[1]["hostname"] != "db-1" || found[1]["id"] != "7b889450379efc96" || found[1]["version"] == "" || len(found[1]) != 4 {
		t.Errorf("probes: %s", w.Body)
	}
	if seen, err := time.Parse(time.RFC3339Nano, fmt.Sprint(found[1]["lastSeen"])); err != nil || seen.Year() != 2026 {
		t.Errorf("lastSeen: %v", found[1]["lastSeen"])
	}
	for tenant, want := range map[string]string{"acme": "true", "other": "false"} {
		for _, query := range []string{"sparse=true", "sparse", "sparse="} {
			if w := f.serve("GET", "/api/probes?"+query, nil, orgHeader+": "+tenant); w.Body.String() != want {
				t.Errorf("%s of %s: %s", query, tenant, w.Body)
			}
		}
	}
	if w := f.serve("GET", "/api/probes?sparse=false", nil, orgHeader+": other"); w.Body.String() != "[]" {
		t.Errorf("no probes: %s", w.Body)
	}
}

// TestAsk holds: each way to ask for a range answers with its merge.
func TestAsk(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	for i := range 10 { // at noon + 3 s, + 6 s, …
		f.add(t, "", hosts(fmt.Sprint(i)), "")
		f.clock.advance(3 * time.Second)
		if err := f.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	second := noon.Unix()
	for target, want := range map[string]string{
		"/api/report": "56789",
		fmt.Sprintf("/api/report?window=31s&timestamp=%d", second+30):                "012345678", // the one at 30 s is not before it
		"/api/report?timestamp=2026-11-22T12:00:09.000000001Z":                       "012",
		"/api/report?timestamp=2026-11-22T14:00:09%2B02:00":                          "01",
		"/api/report?timestamp=2026-11-22T14:00:09+02:00":                            "01",
		"/api/report?timestamp=&window=":                                             "56789",
		"/api/report?window=15s":                                                     "56789",
		"/api/report?window=31s":                                                     "0123456789", // the one at now as well
		fmt.Sprintf("/api/report?window=4s&timestamp=%d", second+10):                 "12",
		fmt.Sprintf("/api/report?window=1ns&timestamp=%d.000000001", second+9):       "2",
		fmt.Sprintf("/api/report?start=%d&end=%d", second+6, second+9):               "1",
		fmt.Sprintf("/api/report?start=%d&end=%d000", second+6, second+10):           "12",
		fmt.Sprintf("/api/report?start=%d&end=%d000000", second+6, second+10):        "12",
		fmt.Sprintf("/api/report?start=%d&end=%d000000000", second+6, second+10):     "12",
		fmt.Sprintf("/api/report?start=%d&end=%d", second+6, second+6):               "",
		fmt.Sprintf("/api/report?start=%d&end=%d&other=1&other=2", second, second+4): "0",
	} {
		w := f.serve("GET", target, nil, "Accept: application/msgpack")
		r, err := report.DecodeMsgpack(w.Body.Bytes())
		if err != nil {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
			continue
		}
		got := ""
		for _, n := range r.Topologies[report.Host].Nodes {
			got += n.ID[:1]
		}
		if got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
	w := f.serve("GET", fmt.Sprintf("/admin/summary?timestamp=%d&window=10s", second+9), nil)
	const table = "reports stored from 2026-11-22T11:59:59.000000000Z until 2026-11-22T12:00:09.000000000Z: 2\n" +
		"2026-11-22T12:00:03.000000000Z  0;<host>: host:1\n2026-11-22T12:00:06.000000000Z  1;<host>: host:1\n"
	if w.Body.String() != table || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("summary: %s", w.Body)
	}
}

// TestOpenTick holds: questions that end now hold what the open tick does.
func TestOpenTick(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	f.add(t, "", hosts("h1"), "")
	for target, want := range map[string]bool{"/api/report": true, "/api/report?window=1m": true, "/api/report?window=744h": true,
		"/api/report?window=1m&timestamp=" + stamp(noon): false} {
		w := f.serve("GET", target, nil)
		if got := strings.Contains(w.Body.String(), "h1;"); w.Code != 200 || got != want {
			t.Errorf("%s: %d, found: %v", target, w.Code, got)
		}
	}
	if text := f.serve("GET", "/admin/summary", nil).Body.String(); text != "reports stored from 2026-11-22T11:59:45.000000000Z until now: 0\n" {
		t.Errorf("summary: %s", text)
	}
}

// TestLongReasons holds: an answer does not repeat all of what was sent.
func TestLongReasons(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	r := hosts("h1")
	r.Topologies[report.Host].Nodes[0].ID = strings.Repeat("ä\n", 10_000)
	r.Topologies[report.Host].Nodes[0].Latest[0].Key = "\xff"
	w := f.serve("POST", "/api/report", msgpack(t, r), "Content-Type: application/msgpack")
	if text := w.Body.String(); w.Code != 400 || len(text) > 600 || !utf8.ValidString(text) || strings.Count(text, "\n") != 1 {
		t.Errorf("%d %s", w.Code, text)
	}
}

func TestDetails(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	const bare = `{"id":"c1","version":"1.2","hostname":"box","capabilities":{"historic_reports":true}}`
	if w := f.serve("GET", "/api", nil); w.Body.String() != bare || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%s", w.Body)
	}
	r := hosts("h1")
	r.Plugins = []report.PluginSpec{{ID: "p", Label: "P", Interfaces: []string{"reporter"}, APIVersion: "1"}}
	f.add(t, "", r, "")
	const plugged = `{"id":"c1","version":"1.2","hostname":"box","plugins":[{"id":"p","label":"P","interfaces":["reporter"],` +
		`"api_version":"1"}],"capabilities":{"historic_reports":true}}`
	if w := f.serve("GET", "/api", nil); w.Body.String() != plugged {
		t.Errorf("%s", w.Body)
	}
}

// TestDetailsWithoutStore holds: probes find the collector while its store
// fails, and others are told that it does.
func TestDetailsWithoutStore(t *testing.T) {
	t.Parallel()
	f := setup(t, func(o *Options, _ *HandlerOptions) { o.Live.Alone = true })
	c, err := New(failingIndex{f.index}, f.authority, &Options{Live: bucket.CollectorOptions[*report.Report]{Alone: true}})
	if err != nil {
		t.Fatal(err)
	}
	f.handler.collector = c
	if w := f.serve("GET", "/api", nil); w.Code != 200 || !strings.Contains(w.Body.String(), `"id":"c1"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, target := range []string{"/api/report", "/api/probes", "/api/probes?sparse", "/admin/summary"} {
		w := f.serve("GET", target, nil)
		if w.Code != 500 || strings.Contains(w.Body.String(), "secret-host") {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

type failingIndex struct{ *bucket.MemIndex }

func (failingIndex) Query(_ context.Context, _ bucket.Row, _, _ int64) ([]bucket.Entry, error) {
	return nil, errors.New("secret-host:8000 refused the connection")
}

// TestMethods holds: HEAD is answered like GET without a body, OPTIONS with
// what there is.
func TestMethods(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	server := httptest.NewServer(f.handler)
	defer server.Close()
	for target, allow := range map[string]string{"/": "GET, HEAD, OPTIONS", "/api": "GET, HEAD, OPTIONS",
		"/api/report": "GET, HEAD, OPTIONS, POST", "/api/probes": "GET, HEAD, OPTIONS",
		"/admin/summary": "GET, HEAD, OPTIONS", "/metrics": "GET, HEAD, OPTIONS"} {
		get := do(t, server, "GET", target, nil)
		head := do(t, server, "HEAD", target, nil)
		options := do(t, server, "OPTIONS", target, nil)
		if get.StatusCode != 200 || head.StatusCode != 200 || options.StatusCode != 204 {
			t.Errorf("%s: GET %d, HEAD %d, OPTIONS %d", target, get.StatusCode, head.StatusCode, options.StatusCode)
		}
		if get.body == "" || head.body != "" || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") {
			t.Errorf("%s: HEAD %v %q", target, head.Header, head.body)
		}
		if got := options.Header.Get("Allow"); got != allow {
			t.Errorf("%s: Allow: %s", target, got)
		}
	}
}

// response is a response that was read to its end.
type response struct {
	*http.Response
	body string
}

func do(t testing.TB, server *httptest.Server, method, target string, body io.Reader, headers ...string) response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+target, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{resp, string(data)}
}

func TestIndexAndMetrics(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	page := f.serve("GET", "/", nil).Body.String()
	for path := range f.handler.routes {
		if !strings.Contains(page, `href="`+path+`"`) && path != "/" {
			t.Errorf("the page does not list %s", path)
		}
	}
	if text := f.serve("GET", "/metrics", nil).Body.String(); !strings.Contains(text, "scope_request_duration_seconds_count") {
		t.Errorf("metrics: %s", text)
	}
	none := setup(t, func(_ *Options, h *HandlerOptions) { h.Gatherer = nil })
	if w := none.serve("GET", "/metrics", nil); w.Code != 404 {
		t.Errorf("metrics of nothing: %d", w.Code)
	}
}

// TestGzip holds: answers are compressed for those who take that, and only for
// them.
func TestGzip(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	for i := range 20 {
		f.add(t, "", hosts(fmt.Sprintf("host-%d", i)), "")
	}
	plain := f.serve("GET", "/api/report", nil).Body.Bytes()
	w := f.serve("GET", "/api/report", nil, "Accept-Encoding: gzip, deflate")
	zr, err := gzip.NewReader(w.Body)
	if err != nil || w.Header().Get("Content-Encoding") != "gzip" {
		t.Fatalf("%v %v", err, w.Header())
	}
	text, err := io.ReadAll(zr)
	if err != nil || !bytes.Equal(text, plain) {
		t.Errorf("%v, %d bytes, want %d", err, len(text), len(plain))
	}
	if vary := w.Header().Values("Vary"); strings.Join(vary, ", ") != "Accept, Accept-Encoding" {
		t.Errorf("Vary: %v", vary)
	}
	if w := f.serve("GET", "/api/report", nil, "Accept-Encoding: gzip;q=0"); w.Header().Get("Content-Encoding") != "" {
		t.Errorf("refused: %v", w.Header())
	}
	if f.handler.buffered.used.Load() != 0 {
		t.Error("sent answers count as buffered")
	}
}

// TestBusy holds: what cannot be taken now is answered with when to try again.
func TestBusy(t *testing.T) {
	t.Parallel()
	f := setup(t, func(o *Options, h *HandlerOptions) { o.Live.MaxPending, h.MaxBody, h.MaxBuffered = 1, 1<<20, 1<<20 })
	body := encode(t, hosts("h1"))
	busy := func(what string, w *httptest.ResponseRecorder, reason string) {
		t.Helper()
		if w.Code != 503 || w.Header().Get("Retry-After") != "3" || !strings.Contains(w.Body.String(), reason) {
			t.Errorf("%s: %d %v %s", what, w.Code, w.Header(), w.Body)
		}
	}
	busy("full", f.serve("POST", "/api/report", body, probeHeaders...), "the limit is 1")
	f.handler.buffered.take(1 << 20)
	busy("bodies", f.serve("POST", "/api/report", body, probeHeaders...), "too many requests")
	busy("answers", f.serve("GET", "/api/report", nil), "too many answers")
	f.handler.buffered.give(1 << 20)
	if w := f.serve("GET", "/api/report", nil); w.Code != 200 {
		t.Errorf("when it is over: %d %s", w.Code, w.Body)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	busy("closed", f.serve("POST", "/api/report", body, probeHeaders...), "closing")
	if n := f.handler.buffered.used.Load(); n != 0 {
		t.Errorf("%d bytes are still counted as buffered", n)
	}
}

// TestPanics holds: a handler that panics is a 500 and counted, or a broken
// connection when the answer had begun.
func TestPanics(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	f.handler.routes["/early"] = route{"early", map[string]answerer{"GET": func(http.ResponseWriter, *http.Request) error { panic("x") }}}
	f.handler.routes["/late"] = route{"late", map[string]answerer{"GET": func(w http.ResponseWriter, _ *http.Request) error {
		_, _ = w.Write(make([]byte, 1<<16))
		panic("x")
	}}}
	f.handler.routes["/failed"] = route{"failed", map[string]answerer{"GET": func(w http.ResponseWriter, _ *http.Request) error {
		_, _ = w.Write(make([]byte, 1<<16))
		return errors.New("x")
	}}}
	server := httptest.NewServer(f.handler)
	defer server.Close()
	if r := do(t, server, "GET", "/early", nil); r.StatusCode != 500 || !strings.Contains(r.body, "the collector's log") {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	for _, target := range []string{"/late", "/failed"} {
		resp, err := server.Client().Get(server.URL + target)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: the answer seems whole", target)
		}
	}
	if n := testutil.ToFloat64(f.handler.metrics.panics); n != 2 {
		t.Errorf("%v panics counted", n)
	}
	if n := testutil.CollectAndCount(f.handler.metrics.duration); n != 3 {
		t.Errorf("%d routes measured", n)
	}
}

// TestRefusalOf says how errors of the collector are answered.
func TestRefusalOf(t *testing.T) {
	t.Parallel()
	cause := errors.New("dial tcp 10.1.2.3:443: refused")
	gone, leave := context.WithCancel(t.Context())
	leave()
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		code int
		text string
	}{
		"failed tier":       {t.Context(), &tiered.TierError{Tier: "authority", Op: "get", Keys: []string{"a", "b", "c", "d", "e", "f"}, Err: cause}, 500, "a, b, c, d, e and 1 more"},
		"corrupt":           {t.Context(), &tiered.CorruptError{Key: "k", Err: &report.TooLargeError{}}, 500, "damaged bytes under k:"},
		"unknown":           {t.Context(), cause, 500, "the collector's log"},
		"slow":              {t.Context(), fmt.Errorf("ask: %w", context.DeadlineExceeded), 504, "took too long"},
		"slow tier":         {t.Context(), &tiered.TierError{Err: context.DeadlineExceeded}, 504, "took too long"},
		"left":              {gone, context.Canceled, 499, "left"},
		"cancelled by us":   {t.Context(), context.Canceled, 500, "the collector's log"},
		"too many":          {t.Context(), &bucket.TooManyError{Limit: 5}, 400, "more than 5 entries"},
		"range":             {t.Context(), &bucket.RangeError{Reason: "ends before it begins"}, 400, "ends before"},
		"time":              {t.Context(), &TimeError{"x\ny"}, 400, `x\ny`},
		"invalid":           {t.Context(), &InvalidError{errors.New("bad\nnode")}, 400, "report refused"},
		"closed":            {t.Context(), tiered.ErrClosed, 503, "closing"},
		"refusal":           {t.Context(), refuse(418, "tea"), 418, "tea"},
		"missing and other": {t.Context(), errors.Join(cause, &bucket.MissingError{Entries: []bucket.Entry{{Key: "k"}}}), 500, "lost k:"},
	} {
		got := refusalOf(c.ctx, c.err)
		if got.status != c.code || !strings.Contains(got.text, c.text) || strings.Contains(got.text, "10.1.2.3") {
			t.Errorf("%s: %d %s", name, got.status, got.text)
		}
	}
}
