package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/alloctest"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/tiered"
)

// refusals names, for every route, what may be wrong with a request and what is
// answered.
var refusals = []struct {
	name, method, target string
	body                 string // of refusedBodies
	headers              []string
	code                 int
	reason               string
}{
	{"no type", "POST", "/api/report", "blob", []string{acme, gz}, 400, `content type "" is neither`},
	{"wrong type", "POST", "/api/report", "blob", []string{acme, gz, "Content-Type: text/plain"}, 400, "text/plain"},
	{"type like msgpack", "POST", "/api/report", "blob", []string{acme, gz, "Content-Type: application/msgpack2"}, 400, "neither"},
	{"malformed type", "POST", "/api/report", "blob", []string{acme, gz, "Content-Type: application/json; x"}, 400, "neither"},
	{"brotli", "POST", "/api/report", "blob", []string{acme, mp, "Content-Encoding: br"}, 415, `"br"`},
	{"gzip twice", "POST", "/api/report", "blob", []string{acme, mp, gz, gz}, 415, "gzip,gzip"},
	{"gzip not said", "POST", "/api/report", "blob", []string{acme, mp}, 400, "send Content-Encoding: gzip"},
	{"not gzip", "POST", "/api/report", "plain", []string{acme, mp, gz}, 400, "gunzip"},
	{"gzip cut", "POST", "/api/report", "cut blob", []string{acme, mp, gz}, 400, "ends too early"},
	{"gzip checksum", "POST", "/api/report", "bad checksum", []string{acme, mp, gz}, 400, "checksum"},
	{"gzip and more", "POST", "/api/report", "blob and more", []string{acme, mp, gz}, 400, "follows after its end"},
	{"bomb", "POST", "/api/report", "bomb", []string{acme, mp, gz}, 413, "262144 bytes when inflated"},
	{"json bomb", "POST", "/api/report", "bomb", []string{acme, js, gz}, 413, "262144 bytes when inflated"},
	{"too large", "POST", "/api/report", "long", []string{acme, mp}, 413, "larger than 65536 bytes"},
	{"msgpack cut", "POST", "/api/report", "cut msgpack", []string{acme, mp, gz}, 400, "ends too early"},
	{"msgpack cut, not gzip'd", "POST", "/api/report", "half", []string{acme, mp}, 400, "decode report"},
	{"msgpack and more", "POST", "/api/report", "plain and more", []string{acme, mp}, 400, "follows after its end"},
	{"huge map", "POST", "/api/report", "huge map", []string{acme, mp}, 400, "decode report"},
	{"deep", "POST", "/api/report", "deep", []string{acme, mp}, 400, "decode report"},
	{"no report", "POST", "/api/report", "number", []string{acme, mp}, 400, "decode report"},
	{"empty", "POST", "/api/report", "", []string{acme, mp}, 400, "ends too early"},
	{"empty json", "POST", "/api/report", "", []string{acme, js}, 400, "decode report"},
	{"broken json", "POST", "/api/report", "broken JSON", []string{acme, js}, 400, "decode report"},
	{"full", "POST", "/api/report", "fat", []string{acme, mp, gz}, 413, "when inflated"},

	{"no tenant", "POST", "/api/report", "blob", []string{mp, gz}, 401, "send header X-Scope-OrgID"},
	{"empty tenant", "POST", "/api/report", "blob", []string{mp, gz, orgHeader + ": "}, 401, "send header X-Scope-OrgID"},
	{"two tenants", "POST", "/api/report", "blob", []string{mp, gz, acme, acme}, 400, "came 2 times"},
	{"wildcard tenant", "POST", "/api/report", "blob", []string{mp, gz, orgHeader + ": >"}, 400, `tenant id ">"`},
	{"tenant with a space", "GET", "/api/report", "", []string{orgHeader + ": a b"}, 400, `tenant id "a b"`},
	{"long tenant", "GET", "/api/report", "", []string{orgHeader + ": " + strings.Repeat("a", 65)}, 400, "longer than 64 bytes"},
	{"no tenant to read", "GET", "/api/report", "", nil, 401, "send header"},
	{"no tenant for probes", "GET", "/api/probes", "", nil, 401, "send header"},
	{"no tenant for details", "GET", "/api", "", nil, 401, "send header"},
	{"no tenant for a summary", "GET", "/admin/summary", "", nil, 401, "send header"},

	{"bad timestamp", "GET", "/api/report?timestamp=yesterday", "", []string{acme}, 400, `parameter timestamp: "yesterday" is not a time`},
	{"distant timestamp", "GET", "/api/report?timestamp=2300-01-01T00:00:00Z", "", []string{acme}, 400, "from 1678 to 2262"},
	{"first timestamp", "GET", "/api/report?timestamp=-9223372036854775808", "", []string{acme}, 400, "before the year 1678"},
	{"two timestamps", "GET", "/api/report?timestamp=1&timestamp=2", "", []string{acme}, 400, "came 2 times"},
	{"bad window", "GET", "/api/report?window=15", "", []string{acme}, 400, `"15" is no positive duration`},
	{"no window", "GET", "/api/report?window=0s", "", []string{acme}, 400, "no positive duration"},
	{"long ago till now", "GET", "/api/report?start=1", "", []string{acme}, 400, "longer than 31 d:"},
	{"end alone", "GET", "/api/report?end=1", "", []string{acme}, 400, "end needs a start"},
	{"end first", "GET", "/api/report?start=2&end=1", "", []string{acme}, 400, "start is after end"},
	{"start to come", "GET", "/api/report?start=4000000000", "", []string{acme}, 400, "start is after end"},
	{"bad start", "GET", "/api/report?start=x&end=1", "", []string{acme}, 400, "parameter start"},
	{"bad end", "GET", "/api/report?start=1&end=x", "", []string{acme}, 400, "parameter end"},
	{"range and window", "GET", "/api/report?start=1&end=2&window=1s", "", []string{acme}, 400, "does not go with"},
	{"long range", "GET", "/api/report?start=1&end=1999999999", "", []string{acme}, 400, "longer than 31 d:"},
	{"long window", "GET", "/admin/summary?window=2000h", "", []string{acme}, 400, "longer than 31 d:"},
	{"bad query", "GET", "/api/report?%zz", "", []string{acme}, 400, "query of the URL"},
	{"bad flag", "GET", "/api/report?hideCommandLineArguments=maybe", "", []string{acme}, 400, "neither true nor false"},
	{"other bad flag", "GET", "/api/report?hideEnvironmentVariables=2", "", []string{acme}, 400, "neither true nor false"},
	{"bad sparse", "GET", "/api/probes?sparse=some", "", []string{acme}, 400, "neither true nor false"},
	{"summary's query", "GET", "/admin/summary?%zz", "", []string{acme}, 400, "query of the URL"},
	{"summary's timestamp", "GET", "/admin/summary?timestamp=x", "", []string{acme}, 400, "parameter timestamp"},
	{"probes' query", "GET", "/api/probes?%zz", "", []string{acme}, 400, "query of the URL"},

	{"method of report", "DELETE", "/api/report", "", []string{acme}, 405, "use GET, HEAD, OPTIONS, POST"},
	{"method of probes", "POST", "/api/probes", "", []string{acme}, 405, "use GET, HEAD, OPTIONS"},
	{"own method", "BREW", "/api", "", []string{acme}, 405, `method "BREW"`},
	{"no path", "GET", "/api/control/ws", "", []string{acme}, 404, `"/api/control/ws"`},
	{"slash too many", "GET", "/api/report/", "", []string{acme}, 404, "no such path"},
	{"way out", "GET", "/api/../api/report", "", []string{acme}, 404, "no such path"},
}

const (
	acme = orgHeader + ": acme"
	mp   = "Content-Type: application/msgpack"
	js   = "Content-Type: application/json"
	gz   = "Content-Encoding: gzip"
)

// refusedBodies returns the bodies that refusals names.
func refusedBodies(t *testing.T) map[string][]byte {
	t.Helper()
	plain := msgpack(t, hosts("h1"))
	blob := gzipped(t, plain)
	fat := hosts("h1")
	fat.Topologies[report.Host].Nodes[0].Adjacency = []string{strings.Repeat("x", 1<<18)}
	return map[string][]byte{
		"": nil, "plain": plain, "blob": blob, "fat": gzipped(t, msgpack(t, fat)),
		"bomb":           gzipped(t, make([]byte, 30<<20)),
		"blob and more":  append(bytes.Clone(blob), 'x'),
		"plain and more": append(bytes.Clone(plain), 1),
		"bad checksum":   spoil(blob, len(blob)-6),
		"cut blob":       blob[:len(blob)-9],
		"cut msgpack":    gzipped(t, plain[:len(plain)-3]),
		"half":           plain[:len(plain)/2],
		"long":           bytes.Repeat(plain, 300),
		"huge map":       []byte("\xdf\xff\xff\xff\xff"),
		"deep":           bytes.Repeat([]byte{0x91}, 50_000),
		"number":         {0x01},
		"broken JSON":    []byte(`{"Host":`),
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t, func(o *reports.Options, h *Options) {
		h.TenantHeader, h.MaxBody, h.MaxInflated, o.Live.MaxPending = orgHeader, 1<<16, 1<<18, 1<<20
	})
	bodies := refusedBodies(t)
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := f.serve(c.method, c.target, bodies[c.body], c.headers...)
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

// TestLongReasons checks that an answer does not repeat all of what was sent.
func TestLongReasons(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	r := hosts("h1")
	r.Topologies[report.Host].Nodes[0].ID = strings.Repeat("ä\n", 10_000)
	r.Topologies[report.Host].Nodes[0].Latest = report.ValuesOf(report.Latest{Key: "\xff"})
	w := f.serve("POST", "/api/report", msgpack(t, r), "Content-Type: application/msgpack")
	if text := w.Body.String(); w.Code != 400 || len(text) > 600 || !utf8.ValidString(text) || strings.Count(text, "\n") != 1 {
		t.Errorf("%d %s", w.Code, text)
	}
}

// TestTooLarge checks that a body that says it is too large is not read, and one that
// does not say so is read no further than it may be.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	f := setup(t, func(_ *reports.Options, h *Options) { h.MaxBody, h.MaxBuffered = 1<<16, 1<<16 })
	largest := append(make([]byte, 0, 1<<16), bytes.Repeat([]byte{' '}, 1<<16-2)...)
	if w := f.serve("POST", "/api/report", append(largest, "{}"...), js); w.Code != 200 {
		t.Errorf("the largest: %d %s", w.Code, w.Body)
	}
	for _, length := range []int64{1 << 20, -1} {
		endless := &endless{}
		r := httptest.NewRequest("POST", "/api/report", endless)
		r.Header.Set("Content-Type", "application/msgpack")
		r.ContentLength = length
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r)
		if w.Code != 413 || !strings.Contains(w.Body.String(), "larger than 65536 bytes") {
			t.Errorf("length %d: %d %s", length, w.Code, w.Body)
		}
		if (length > 0) != (endless.read == 0) || endless.read > 1<<18 {
			t.Errorf("length %d: %d bytes were read", length, endless.read)
		}
	}
}

// endless is a body without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	if e.read > 1<<24 {
		return 0, io.ErrUnexpectedEOF
	}
	e.read += len(p)
	return len(p), nil
}

// TestAnswersWaitForRoomBeforeTheyAreMade asks for a large report while other answers take all the room. The refusal comes before
// the answer is encoded. It does not run beside other tests.
func TestAnswersWaitForRoomBeforeTheyAreMade(t *testing.T) {
	const large = 8 << 20
	f := setup(t, nil)
	r := hosts("h1")
	r.Topologies[report.Host].Nodes[0].Latest = report.ValuesOf(report.Latest{Key: "k", Value: strings.Repeat("x", large)})
	f.add(t, "", r, "")
	for path, headers := range map[string][]string{"/api/report": {"Accept: " + mediaMsgpack}, "/api/held?start=" + human.Stamp(noon.Add(-time.Hour)): nil} {
		want := f.serve("GET", path, nil, headers...)
		if want.Code != 200 || want.Body.Len() < large {
			t.Fatalf("%s: %d, %d bytes", path, want.Code, want.Body.Len())
		}
		f.handler.buffered.reserve(256 << 20)
		var w *httptest.ResponseRecorder
		if took := alloctest.Bytes(func() { w = f.serve("GET", path, nil, headers...) }); took > large/2 || w.Code != 503 {
			t.Errorf("%s: %d after %d bytes", path, w.Code, took)
		}
		if f.handler.buffered.give(256 << 20); f.handler.buffered.used.Load() != 0 {
			t.Errorf("%s: %d bytes are still counted as buffered", path, f.handler.buffered.used.Load())
		}
	}
	f.closed(t)
}

// TestBusy checks that what cannot be taken now is answered with when to try again.
func TestBusy(t *testing.T) {
	t.Parallel()
	body, both := msgpack(t, hosts("h1")), msgpack(t, hosts("h1", "h2")) // not compressed, since a compressed report may wait unchanged
	limit := report.Size(hosts("h1"))
	f := setup(t, func(o *reports.Options, h *Options) {
		o.Live.MaxPending, h.MaxBody, h.MaxBuffered = limit, 1<<20, 1<<20
	})
	if w := f.serve("POST", "/api/report", both, mp); w.Code != 413 || w.Header().Get("Retry-After") != "" {
		t.Errorf("more than may ever wait: %d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := f.serve("POST", "/api/report", body, mp); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	busy := func(what string, w *httptest.ResponseRecorder, reason string) {
		t.Helper()
		if w.Code != 503 || w.Header().Get("Retry-After") != "3" || !strings.Contains(w.Body.String(), reason) {
			t.Errorf("%s: %d %v %s", what, w.Code, w.Header(), w.Body)
		}
	}
	busy("full", f.serve("POST", "/api/report", body, mp), "wait to be stored")
	f.handler.buffered.reserve(1<<20 + 2*readAhead)
	busy("bodies", f.serve("POST", "/api/report", body, mp), "too many requests")
	busy("answers", f.serve("GET", "/api/report", nil), "too many answers")
	f.handler.buffered.give(1<<20 + 2*readAhead)
	if w := f.serve("GET", "/api/report", nil); w.Code != 200 {
		t.Errorf("when it is over: %d %s", w.Code, w.Body)
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	busy("closed", f.serve("POST", "/api/report", body, mp), "closing")
	if n := f.handler.buffered.used.Load(); n != 0 {
		t.Errorf("%d bytes are still counted as buffered", n)
	}
}

// TestPanics checks that a handler that panics is a 500 and counted, or a broken
// connection when the answer had begun.
func TestPanics(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	f.handler.routes["/early"] = route{"early", map[string]answerer{"GET": func(http.ResponseWriter, *request) error { panic("x") }}}
	f.handler.routes["/late"] = route{"late", map[string]answerer{"GET": func(w http.ResponseWriter, _ *request) error {
		_, _ = w.Write(make([]byte, 1<<16))
		panic("x")
	}}}
	f.handler.routes["/failed"] = route{"failed", map[string]answerer{"GET": func(w http.ResponseWriter, _ *request) error {
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
		"corrupt":           {t.Context(), &tiered.CorruptError{Key: "k", Err: &wire.TooLargeError{}}, 500, "damaged bytes under k:"},
		"unknown":           {t.Context(), cause, 500, "the collector's log"},
		"slow":              {t.Context(), fmt.Errorf("ask: %w", context.DeadlineExceeded), 504, "took too long"},
		"slow tier":         {t.Context(), &tiered.TierError{Err: context.DeadlineExceeded}, 504, "took too long"},
		"left":              {gone, context.Canceled, 499, "left"},
		"cancelled by us":   {t.Context(), context.Canceled, 500, "the collector's log"},
		"too many":          {t.Context(), &bucket.TooManyError{Limit: 5}, 400, "more than 5 entries"},
		"range":             {t.Context(), &bucket.RangeError{Reason: "ends before it begins"}, 400, "ends before"},
		"time":              {t.Context(), &reports.TimeError{Text: "x\ny"}, 400, `x\ny`},
		"invalid":           {t.Context(), &reports.InvalidError{Err: errors.New("bad\nnode")}, 400, "report refused"},
		"closed":            {t.Context(), tiered.ErrClosed, 503, "closing"},
		"full journal":      {t.Context(), &bucket.JournalError{Err: errors.New("journal is full")}, 503, "journal is full"},
		"journal's disk":    {t.Context(), &bucket.JournalError{Err: &fs.PathError{Op: "write", Path: "/10.1.2.3", Err: cause}}, 503, "the disk of the journal fails"},
		"refusal":           {t.Context(), refuse(418, "tea"), 418, "tea"},
		"missing and other": {t.Context(), errors.Join(cause, &bucket.MissingError{Entries: []index.Entry{{Key: "k"}}}), 500, "lost k:"},
	} {
		got := refusalOf(c.ctx, c.err)
		if got.status != c.code || !strings.Contains(got.text, c.text) || strings.Contains(got.text, "10.1.2.3") {
			t.Errorf("%s: %d %s", name, got.status, got.text)
		}
		if got.retry != (c.code == 503) {
			t.Errorf("%s: is the client told to try again: %v", name, got.retry)
		}
	}
}
