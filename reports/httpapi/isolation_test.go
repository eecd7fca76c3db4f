package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// hostileIDs are tenant headers as they may stand on the wire. None may become
// a tenant.
var hostileIDs = []string{
	">", "*", ">.x", "a.>", "*.a", "a b", "a\tb", "a\x00b", "a\x7fb", "a\vb", "a\r\n b",
	"a\nX-Scope-OrgID: x", "a\r\nX-Scope-OrgID: x", "x\r\nX-Scope-OrgID:", "a\rX-Scope-OrgID: x",
	strings.Repeat("a", 65), strings.Repeat("a", 10_000), strings.Repeat("a", 200_000),
	"é", "日本", "\u202ea", "a\u0301", "\xff\xfe", "а", // the last one is Cyrillic
	"../x", "a/b", `a\b`, "a%2eb", "%00", "a,x", "a;b", `"a"`, "'a'", "a=b", "a:b", "a+b", "a@b", "a|b", "$a", "${a}", "<a>", "a#b", "a?b", "~a", "",
}

// isolatedIDs look like parts of each other, of keys, of paths and of patterns.
// Each is a tenant of its own. 472222 is the hour in which the test plays.
var isolatedIDs = []string{
	"a", "A", "a.b", "a.", ".a", "b", "a-b", "a_b", "x", "x-472222", "x-472222-472222", "x-", "x--", "x-47222", "472222", "-472222", "-",
	"--", ".", "..", "_", "0", strings.Repeat("a", 64), strings.Repeat("a", 63), "x.472222", "null", "con", "constructor", "__proto__",
}

// rawServer is a server that is spoken to byte by byte.
type rawServer struct{ address string }

// serveWire serves a fixture's handler until the test ends.
func serveWire(t *testing.T, f *fixture) rawServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(f.handler)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); <-done })
	return rawServer{listener.Addr().String()}
}

// ask sends a request with a tenant header, unchecked, and returns the answer.
// The server may hang up in the middle of what it will not read.
func (w rawServer) ask(t *testing.T, method, target, id string, body []byte) (code int, answer string) {
	t.Helper()
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n%s\r\nAccept: application/msgpack\r\n"+
		"X-Scope-OrgID: %s\r\n\r\n%s", method, target, len(body), mp, gz, id, body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("tenant %.40q: %v", id, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil && resp.StatusCode == 200 {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// hostOf is the host that the tenant of a place in isolatedIDs reports.
func hostOf(place int) string { return fmt.Sprintf("host-%03d", place) }

// wantOnly checks that a report holds one host and no other.
func wantOnly(t *testing.T, what string, r *report.Report, host string) {
	t.Helper()
	var ids []string
	for _, n := range r.Topologies[report.Host].Nodes {
		ids = append(ids, n.ID)
	}
	if want := host + ";<host>"; !slices.Equal(ids, []string{want}) {
		t.Errorf("%s: holds hosts %q, want %q", what, ids, want)
	}
}

// TestHostileTenants posts and asks over a connection with every id: it is
// either refused or has its own reports and nobody else's, in answers and in
// the store.
func TestHostileTenants(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *reports.Options, h *Options) { h.TenantHeader = orgHeader })
	f.clock.Set(time.Unix(472222*3600+60, 0))
	w := serveWire(t, f)
	for i, id := range isolatedIDs {
		if code, text := w.ask(t, "POST", "/api/report", id, encode(t, hosts(hostOf(i)))); code != 200 {
			t.Fatalf("tenant %q: %d %s", id, code, text)
		}
	}
	stray := encode(t, hosts("stray"))
	refuse := func() {
		for _, id := range hostileIDs {
			for _, method := range []string{"POST", "GET"} {
				code, text := w.ask(t, method, "/api/report", id, stray)
				if code != 400 && code != 431 && !(id == "" && code == 401) || strings.Contains(text, "host-") {
					t.Errorf("%s of tenant %.40q: %d %.200s", method, id, code, text)
				}
			}
		}
	}
	refuse()
	if got, want := f.Tenants(), slices.Sorted(slices.Values(isolatedIDs)); !slices.Equal(got, want) {
		t.Errorf("tenants %q, want %q", got, want)
	}
	wantIsolated(t, w, "/api/report")
	wantIsolated(t, w, "/api/report?window=1h") // of the open tick
	wantOwnText(t, w, "/api/probes")
	f.clock.Advance(3 * time.Second)
	stored := "?timestamp=" + url.QueryEscape(human.Stamp(f.clock.Now().Add(time.Second)))
	for range 2 { // the second one ends the live window
		if err := f.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.clock.Advance(time.Minute)
	}
	refuse()
	wantIsolated(t, w, "/api/report"+stored)
	wantOwnText(t, w, "/admin/summary"+stored)
	f.wantRows(t)
}

// wantOwnText asks for a page of each tenant's, which names its host.
func wantOwnText(t *testing.T, w rawServer, target string) {
	t.Helper()
	for i, id := range isolatedIDs {
		code, text := w.ask(t, "GET", target, id, nil)
		if own := strings.Count(text, hostOf(i)); code != 200 || own == 0 || strings.Count(text, "host-") != own {
			t.Errorf("%s of tenant %q: %d %s", target, id, code, text)
		}
	}
}

// wantIsolated asks for each tenant's reports.
func wantIsolated(t *testing.T, w rawServer, target string) {
	t.Helper()
	for i, id := range isolatedIDs {
		code, text := w.ask(t, "GET", target, id, nil)
		r, err := wire.DecodeMsgpack([]byte(text))
		if code != 200 || err != nil {
			t.Errorf("%s of tenant %q: %d, %v", target, id, code, err)
			continue
		}
		wantOnly(t, fmt.Sprintf("%s of tenant %q", target, id), r, hostOf(i))
	}
}

// wantRows checks that the row of each tenant has one entry whose blob is the tenant's own, and that nothing else is stored.
func (f *fixture) wantRows(t *testing.T) {
	t.Helper()
	for i, id := range isolatedIDs {
		row := index.Row{Tenant: id, Hour: 472222}
		entries, err := f.index.Query(t.Context(), row, row.Start(), row.End())
		if err != nil || len(entries) != 1 {
			t.Errorf("row %v: %v, %v", row, entries, err)
			continue
		}
		blobs, err := f.authority.Get(t.Context(), []string{entries[0].Key})
		if err != nil || blobs[0] == nil {
			t.Errorf("row %v: no blob, %v", row, err)
			continue
		}
		wantOnly(t, fmt.Sprintf("row %v", row), decode(t, blobs[0]), hostOf(i))
	}
	if n := f.authority.Len(); n != len(isolatedIDs) {
		t.Errorf("%d blobs are stored of %d tenants", n, len(isolatedIDs))
	}
}
