package httpapi

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
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

const orgHeader = "X-Scope-OrgID"

// TestPostForms checks that a report may come in all four forms.
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
	f := setup(t, func(_ *reports.Options, h *Options) { h.TenantHeader = orgHeader })
	var came []*report.Report
	for _, c := range capturedReports(t, "hosts/*/*.msgpack.gz")[:30] {
		f.post(t, c.Body, orgHeader+": acme")
		came = append(came, decode(t, c.Body))
	}
	want := merged(t, came...)
	query := []string{"Accept: application/msgpack", "Accept-Encoding: identity", orgHeader + ": acme"}
	w := f.serve("GET", "/api/report", nil, query...)
	got, err := wire.DecodeMsgpack(w.Body.Bytes())
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
	if other, err := wire.DecodeMsgpack(w.Body.Bytes()); err != nil || report.Summary(other) != "" {
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

// TestAsk checks that each way to ask for a range answers with its merge.
func TestAsk(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	for i := range 10 { // at noon + 3 s, + 6 s, …
		f.add(t, "", hosts(fmt.Sprint(i)), "")
		f.clock.Advance(3 * time.Second)
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
		r, err := wire.DecodeMsgpack(w.Body.Bytes())
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
	const table = "tenant (the default tenant), stored from 2026-11-22T11:59:59.000000000Z until 2026-11-22T12:00:09.000000000Z\n\n" +
		"TIME                                NODES   IN MEMORY  SUMMARY\n" +
		"2026-11-22T12:00:03.000000000Z          1     4.7 KiB  0;<host>: host:1\n" +
		"2026-11-22T12:00:06.000000000Z          1     4.7 KiB  1;<host>: host:1\n" +
		"2 reports                               2     9.3 KiB\n"
	if w.Body.String() != table || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("summary: %s", w.Body)
	}
}

// TestOpenTick checks that questions that end now hold what the open tick does.
func TestOpenTick(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	f.add(t, "", hosts("h1"), "")
	for target, want := range map[string]bool{"/api/report": true, "/api/report?window=1m": true, "/api/report?window=744h": true,
		"/api/report?window=1m&timestamp=" + human.Stamp(noon): false, "/api/report?start=" + human.Stamp(noon): true,
		"/api/report?start=" + human.Stamp(noon.Add(-time.Minute)) + "&end=" + human.Stamp(noon): false} {
		w := f.serve("GET", target, nil)
		if got := strings.Contains(w.Body.String(), "h1;"); w.Code != 200 || got != want {
			t.Errorf("%s: %d, found: %v", target, w.Code, got)
		}
	}
	if text := f.serve("GET", "/admin/summary", nil).Body.String(); text != "tenant (the default tenant), stored from 2026-11-22T11:59:45.000000000Z until now\n\n0 reports\n" {
		t.Errorf("summary: %s", text)
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

// TestDetailsWithoutStore checks that while the store fails, answers about now come
// from memory and name the store, and answers about the past are errors.
func TestDetailsWithoutStore(t *testing.T) {
	t.Parallel()
	f := setup(t, func(o *reports.Options, _ *Options) { o.Live.Alone = true })
	c, err := reports.New(failingIndex{f.index}, f.authority, &reports.Options{Live: bucket.CollectorOptions[*report.Report]{Alone: true}})
	if err != nil {
		t.Fatal(err)
	}
	f.handler.reader, f.handler.collector = c, c
	if w := f.serve("GET", "/api", nil); w.Code != 200 || !strings.Contains(w.Body.String(), `"id":"c1"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for target, code := range map[string]int{"/api": 200, "/api/report": 200, "/api/probes": 200, "/api/probes?sparse": 200,
		"/api/report?window=1m": 500, "/admin/summary": 500} {
		w := f.serve("GET", target, nil)
		if named := w.Header().Get(headerMissing) == "store"; w.Code != code || named != (code == 200) || strings.Contains(w.Body.String(), "secret-host") {
			t.Errorf("%s: %d, missing %q, %s", target, w.Code, w.Header().Get(headerMissing), w.Body)
		}
	}
}

type failingIndex struct{ *index.MemIndex }

func (failingIndex) Query(_ context.Context, _ index.Row, _, _ int64) ([]index.Entry, error) {
	return nil, errors.New("secret-host:8000 refused the connection")
}

// TestMethods checks that HEAD is answered like GET without a body, OPTIONS with
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
	unlisted := []string{"/", "/admin", "/api/held"} // the page itself, a way to another, and what only queriers read
	for path := range f.handler.routes {
		if !strings.Contains(page, `href="`+path+`"`) && !slices.Contains(unlisted, path) {
			t.Errorf("the page does not list %s", path)
		}
	}
	if !strings.Contains(page, "for a range of up to 31 d.\n</html>") {
		t.Errorf("the page does not end with the longest range: %s", page)
	}
	if text := f.serve("GET", "/metrics", nil).Body.String(); !strings.Contains(text, "scope_request_duration_seconds_count") {
		t.Errorf("metrics: %s", text)
	}
	none := setup(t, func(_ *reports.Options, h *Options) { h.Gatherer = nil })
	if w := none.serve("GET", "/metrics", nil); w.Code != 404 {
		t.Errorf("metrics of nothing: %d", w.Code)
	}
}

// TestGzip checks that answers are compressed exactly for clients that accept gzip.
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
