package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/internal/alloctest"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// fuzzLimit is the largest body of a fuzzed request, and the largest inflated one.
const fuzzLimit = 1 << 20

// requestSeeds are the heads of requests, of every path.
var requestSeeds = []string{
	"POST /api/report HTTP/1.1\r\nContent-Type: application/msgpack\r\nContent-Encoding: gzip\r\nX-Scope-Probe-ID: p\r\nX-Scope-OrgID: acme",
	"POST /api/report HTTP/1.1\r\nContent-Type: application/msgpack\r\nX-Scope-OrgID: acme",
	"POST /api/report HTTP/1.1\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nX-Scope-OrgID: acme",
	"POST /api/report HTTP/1.0\r\nContent-Type: application/json; charset=utf-8",
	"GET /api/report?timestamp=2023-11-14T22:13:20Z&window=1h HTTP/1.1\r\nAccept: application/msgpack;q=0.5, */*;q=0.1\r\nAccept-Encoding: gzip\r\nX-Scope-OrgID: acme",
	"GET /api/report?start=1&end=2&partial=true HTTP/1.1\r\nX-Scope-OrgID: acme",
	"GET /api/probes?sparse=true HTTP/1.1\r\nX-Scope-OrgID: acme",
	"GET /api HTTP/1.1", "GET /metrics HTTP/1.1", "GET /healthz HTTP/1.1", "GET /readyz HTTP/1.1",
	"GET /admin/?hours=3&tenant=acme HTTP/1.1", "GET /admin/summary?tenant=acme HTTP/1.1",
	"GET /api/wait?timeout=30s HTTP/1.1\r\nX-Scope-OrgID: acme",
	"GET /api/held?from=1&to=2 HTTP/1.1\r\nX-Scope-OrgID: acme",
	"DELETE /api/report HTTP/1.1\r\nX-Scope-OrgID: a/b",
}

// FuzzHTTP sends a request of any head and body to a collector, and then asks for the live window. The collector must not
// panic, must not answer that it failed, must allocate in proportion to a posted body, and must answer the question.
func FuzzHTTP(f *testing.F) {
	var bodies [][]byte
	for _, r := range []string{"", "{}", "\x80", `{"Host":{"nodes":{"a;<host>":{"id":"a;<host>","topology":"host","latest":{"k":{"timestamp":"2023-11-14T22:13:20Z","value":"v"}}}}}}`} {
		bodies = append(bodies, []byte(r))
	}
	bodies = append(bodies, msgpack(f, hosts("a")))
	for _, head := range requestSeeds {
		for _, body := range bodies {
			f.Add(head, body, strings.Contains(head, "gzip"))
		}
	}
	f.Fuzz(func(t *testing.T, head string, body []byte, compress bool) {
		inflated := int64(len(body))
		if compress {
			body = gzipped(t, body)
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head + "\r\n\r\n")))
		if err != nil || len(body) > fuzzLimit {
			return
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if strings.HasSuffix(r.URL.Path, "wait") {
			cancel() // it would wait
		}
		r = r.WithContext(ctx)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		c := setup(t, func(_ *reports.Options, o *Options) {
			o.TenantHeader, o.MaxBody, o.MaxInflated = orgHeader, fuzzLimit, fuzzLimit
		})
		defer c.closed(t)
		w := httptest.NewRecorder()
		serve := func() { c.handler.ServeHTTP(w, r) }
		if r.Method == http.MethodPost {
			alloctest.Bounded(t, "a post", max(inflated, int64(len(body))+int64(len(head))), 512<<10, serve)
		} else {
			serve()
		}
		if w.Code < 200 || w.Code == http.StatusInternalServerError {
			t.Errorf("status %d: %.300s", w.Code, w.Body)
		}
		answersAboutNow(t, c, r.Header.Get(orgHeader), w.Code == http.StatusOK && r.Method == http.MethodPost)
	})
}

// answersAboutNow asks for the live window in both forms. A tenant whose report was taken must get an answer.
func answersAboutNow(t *testing.T, c *fixture, tenant string, must bool) {
	t.Helper()
	for _, media := range []string{mediaMsgpack, mediaJSON} {
		w := c.serve("GET", "/api/report", nil, orgHeader+": "+tenant, "Accept: "+media)
		switch {
		case w.Code != http.StatusOK && !must:
		case w.Code != http.StatusOK:
			t.Errorf("the live window: status %d: %.300s", w.Code, w.Body)
		case media == mediaJSON && !json.Valid(w.Body.Bytes()):
			t.Errorf("no JSON: %.300q", w.Body)
		case media == mediaMsgpack:
			if _, err := wire.DecodeMsgpack(w.Body.Bytes()); err != nil {
				t.Errorf("an answer that does not decode: %v", err)
			}
		}
	}
}
