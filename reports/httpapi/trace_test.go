package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/reports"
)

// traced returns options that record spans, and what they record.
func traced(sampler sdktrace.Sampler) (*tracetest.SpanRecorder, func(*reports.Options, *Options)) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder), sdktrace.WithSampler(sampler))
	return recorder, func(o *reports.Options, h *Options) {
		o.TracerProvider, h.TracerProvider, h.Propagator = provider, provider, propagation.TraceContext{}
		h.TenantHeader = orgHeader
	}
}

// outline writes the spans below a parent, each with what is below it.
func outline(spans []sdktrace.ReadOnlySpan, parent trace.SpanID) string {
	var below []string
	for _, s := range spans {
		if s.Parent().SpanID() == parent {
			below = append(below, strings.TrimSpace(s.Name()+" "+outline(spans, s.SpanContext().SpanID())))
		}
	}
	slices.Sort(below)
	if len(below) == 0 {
		return ""
	}
	return "{" + strings.Join(below, ", ") + "}"
}

// attributes returns the attributes of a span as text.
func attributes(s sdktrace.ReadOnlySpan) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes() {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

const (
	clientTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientSpan  = "00f067aa0ba902b7"
	traceparent = "Traceparent: 00-" + clientTrace + "-" + clientSpan + "-01"
)

// TestSpans checks that a request's spans are below the one that the client names,
// and reach down to the tiers; a flush has a trace of its own.
func TestSpans(t *testing.T) {
	t.Parallel()
	recorder, change := traced(sdktrace.AlwaysSample())
	f := setup(t, change)
	body := encode(t, hosts("h1"))
	if w := f.serve("POST", "/api/report", body, append(probeHeaders, acme, traceparent, "User-Agent: Scope_Probe/1.13")...); w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	f.clock.Advance(3 * time.Second)
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	target := fmt.Sprintf("/api/report?start=%d&end=%d", noon.Unix(), noon.Unix()+10)
	if w := f.serve("GET", target, nil, acme, traceparent); !strings.Contains(w.Body.String(), "h1;") {
		t.Fatal(w.Code, w.Body)
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		f.serve("GET", path, nil, traceparent)
	}
	spans := recorder.Ended()
	client, err := trace.SpanIDFromHex(clientSpan)
	if err != nil {
		t.Fatal(err)
	}
	const tree = "{GET /api/report {reports.Range {bucket.merge {bucket.fetch {tiered.Get {tiered.read}}}, bucket.plan}, reports.encode}, " +
		"POST /api/report {reports.Add {reports.decode}}}"
	if got := outline(spans, client); got != tree {
		t.Errorf("the client's: got  %s\nwant %s", got, tree)
	}
	if got, want := outline(spans, trace.SpanID{}), "{bucket.flush {bucket.Index, bucket.Put {tiered.write}}}"; got != want {
		t.Errorf("others: got %s, want %s", got, want)
	}
	post := attributes(named(t, spans, "POST /api/report"))
	for name, want := range map[string]string{"http.request.method": "POST", "http.route": "/api/report", "url.path": "/api/report",
		"url.scheme": "http", "http.response.status_code": "200", "http.request.body.size": fmt.Sprint(len(body)), "http.response.body.size": "0",
		"timeblob.tenant": "acme", "server.address": "example.com", "client.address": "192.0.2.1", "network.protocol.version": "1.1",
		"user_agent.original": "Scope_Probe/1.13"} {
		if post[name] != want {
			t.Errorf("%s is %q, want %q", name, post[name], want)
		}
	}
	read := attributes(named(t, spans, "tiered.read"))
	if read["timeblob.tier"] != "authority" || read["timeblob.keys"] != "1" || read["timeblob.found"] != "1" || read["timeblob.bytes"] == "0" {
		t.Errorf("tiered.read: %v", read)
	}
	flush := named(t, spans, "bucket.flush").SpanContext().TraceID()
	for _, s := range spans {
		if id := s.SpanContext().TraceID(); id != flush && id.String() != clientTrace {
			t.Errorf("%s is of trace %v", s.Name(), id)
		}
	}
}

// named returns the span of a name.
func named(t *testing.T, spans []sdktrace.ReadOnlySpan, name string) sdktrace.ReadOnlySpan {
	for _, s := range spans {
		if s.Name() == name {
			return s
		}
	}
	t.Fatalf("there is no span %q", name)
	return nil
}

// TestSpanOfAFailure checks that failures of the server are marked in spans, and wrong requests are not.
func TestSpanOfAFailure(t *testing.T) {
	t.Parallel()
	recorder, change := traced(sdktrace.AlwaysSample())
	f := setup(t, change)
	broken := faulttest.NewIndex(f.index, 1)
	broken.Decide(func(faulttest.Call) faulttest.Fault { return faulttest.Fault{Err: errRefused} })
	o, ho := &reports.Options{}, &Options{}
	change(o, ho)
	c, err := reports.New(broken, f.authority, o)
	if err != nil {
		t.Fatal(err)
	}
	if f.handler, err = New(c, ho); err != nil {
		t.Fatal(err)
	}
	f.serve("GET", "/api/report?timestamp=1000000000", nil, acme)
	f.serve("GET", "/nowhere", nil, acme)
	f.serve("BREW", "/api", nil, acme)
	spans := recorder.Ended()
	for _, name := range []string{"GET /api/report", "bucket.plan", "reports.Report"} {
		if s := named(t, spans, name); s.Status().Code != codes.Error || !strings.Contains(s.Status().Description, errRefused.Error()) {
			t.Errorf("%s: %v", name, s.Status())
		}
	}
	if got := attributes(named(t, spans, "GET /api/report"))["error.type"]; got != "500" {
		t.Errorf("error.type %q", got)
	}
	for name, code := range map[string]string{"GET": "404", "other /api": "405"} {
		s := named(t, spans, name)
		if got := attributes(s); s.Status().Code != codes.Unset || got["http.response.status_code"] != code || got["error.type"] != "" {
			t.Errorf("%s: %v %v", name, s.Status(), got)
		}
	}
}

// TestUnsampled checks that nothing is recorded of a request that is not sampled.
func TestUnsampled(t *testing.T) {
	t.Parallel()
	recorder, change := traced(sdktrace.ParentBased(sdktrace.AlwaysSample()))
	f := setup(t, change)
	f.serve("GET", "/api/report", nil, acme, strings.TrimSuffix(traceparent, "1")+"0")
	if spans := recorder.Ended(); len(spans) != 0 {
		t.Errorf("recorded %s", outline(spans, trace.SpanID{}))
	}
}

// traceLog adds the trace of the context to lines, as a program may.
type traceLog struct{ slog.Handler }

func (l traceLog) Handle(ctx context.Context, r slog.Record) error {
	r.AddAttrs(slog.String("trace", trace.SpanContextFromContext(ctx).TraceID().String()))
	return l.Handler.Handle(ctx, r)
}

// TestAccessLog checks that at the level debug there is one line a request, with
// its trace and nothing secret.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	_, change := traced(sdktrace.NeverSample())
	f := setup(t, func(o *reports.Options, h *Options) {
		change(o, h)
		h.Logger = slog.New(traceLog{slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})})
	})
	body := encode(t, hosts("h1"))
	f.serve("POST", "/api/report?token=s3cret", body, append(probeHeaders, acme, traceparent)...)
	answer := f.serve("GET", "/api/report?password=s3cret", nil, acme, "Cookie: s3cret")
	f.serve("GET", "/"+strings.Repeat("x", 1000), nil, orgHeader+": s3cret > x")
	f.serve("GET", "/readyz", nil)
	var lines []map[string]any
	for line := range strings.Lines(log.String()) {
		var said map[string]any
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Fatal(err)
		}
		if said["msg"] == "request" {
			lines = append(lines, said)
		}
	}
	if strings.Contains(log.String(), "s3cret") || len(lines) != 4 {
		t.Fatalf("%d lines: %s", len(lines), &log)
	}
	for i, want := range []map[string]any{
		{"method": "POST", "path": "/api/report", "status": 200.0, "tenant": "acme", "bytes_in": float64(len(body)), "bytes_out": 0.0, "trace": clientTrace},
		{"method": "GET", "path": "/api/report", "status": 200.0, "tenant": "acme", "bytes_in": 0.0, "bytes_out": float64(answer.Body.Len())},
		{"path": "/" + strings.Repeat("x", 199), "status": 404.0, "tenant": ""},
		{"path": "/readyz", "status": 503.0, "tenant": "", "level": "DEBUG"},
	} {
		for name, value := range want {
			if lines[i][name] != value {
				t.Errorf("line %d: %s is %v, want %v", i, name, lines[i][name], value)
			}
		}
		if took, ok := lines[i]["duration"].(float64); !ok || took < 0 {
			t.Errorf("line %d: duration %v", i, lines[i]["duration"])
		}
	}
	log.Reset()
	quiet := setup(t, func(_ *reports.Options, h *Options) { h.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	if quiet.serve("GET", "/api", nil); log.Len() > 0 {
		t.Errorf("at the level info: %s", &log)
	}
}

// BenchmarkObserve measures what spans and the access log cost a request when
// there are none, and a span when it is recorded.
func BenchmarkObserve(b *testing.B) {
	_, recorded := traced(sdktrace.AlwaysSample())
	for name, change := range map[string]func(*reports.Options, *Options){"off": nil, "recorded": recorded} {
		f := setup(b, change)
		r := httptest.NewRequest("GET", "/api/report", nil)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, end := f.handler.observe(r, "api_report", caller{}, &recorder{})
				end()
			}
		})
	}
}
