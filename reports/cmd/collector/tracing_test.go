package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
)

// receiver receives spans by OTLP over HTTP.
type receiver struct {
	*httptest.Server
	collectortrace.UnimplementedTraceServiceServer
	t *testing.T

	mu       sync.Mutex // guards the fields below
	spans    []*otlptrace.Span
	services map[string]bool
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t, services: map[string]bool{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var sent collectortrace.ExportTraceServiceRequest
	body, err := io.ReadAll(req.Body)
	if err = errors.Join(err, proto.Unmarshal(body, &sent)); err != nil || req.URL.Path != "/v1/traces" {
		r.t.Errorf("%s: %v", req.URL, err)
	}
	r.take(&sent)
}

// Export receives spans by OTLP over gRPC.
func (r *receiver) Export(_ context.Context, sent *collectortrace.ExportTraceServiceRequest) (*collectortrace.ExportTraceServiceResponse, error) {
	r.take(sent)
	return new(collectortrace.ExportTraceServiceResponse), nil
}

func (r *receiver) take(sent *collectortrace.ExportTraceServiceRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, from := range sent.ResourceSpans {
		for _, a := range from.Resource.Attributes {
			if a.Key == "service.name" {
				r.services[a.Value.GetStringValue()] = true
			}
		}
		for _, scope := range from.ScopeSpans {
			r.spans = append(r.spans, scope.Spans...)
		}
	}
}

// paths returns for each span the names of its ancestors below a parent, and its own.
func (r *receiver) paths(trace, parent string) (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.below(trace, parent, "")
}

func (r *receiver) below(trace, parent, path string) (all []string) {
	for _, s := range r.spans {
		mine := trace == "" || hex.EncodeToString(s.TraceId) == trace
		if hex.EncodeToString(s.ParentSpanId) == parent && mine {
			here := path + " > " + s.Name
			all = append(append(all, here), r.below(trace, hex.EncodeToString(s.SpanId), here)...)
		}
	}
	return all
}

const (
	clientTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientSpan  = "00f067aa0ba902b7"
)

// traced sends a request that is part of a trace, and returns the answer.
func traced(t *testing.T, method, url string, body []byte) string {
	t.Helper()
	req := must1(http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(string(body))))
	req.Header.Set("Traceparent", "00-"+clientTrace+"-"+clientSpan+"-01")
	req.Header.Set("Content-Type", "application/msgpack")
	if body != nil {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer := string(must1(io.ReadAll(resp.Body)))
	if resp.StatusCode != 200 {
		t.Fatalf("%s %s: %s: %s", method, url, resp.Status, answer)
	}
	return answer
}

// TestTraces checks that a report and a question make a tree of spans from the client's span down to index
// and blobs.
func TestTraces(t *testing.T) {
	t.Parallel()
	const ask = " > GET /api/report > reports.Range"
	const read = ask + " > bucket.merge > bucket.fetch > tiered.Get > tiered.read"
	for name, c := range map[string]struct {
		open         newStore
		asked, flush []string
	}{
		"in a directory": {embedded, []string{ask + " > bucket.plan > local.Query", read + " > local.Get"},
			[]string{" > bucket.flush > bucket.Commit > local.put"}},
		"on servers": {func(t *testing.T) []string { return create(t, newTable(t, servertest.SharedDynalite), newBucket(t)) },
			[]string{ask + " > bucket.plan > dynamoindex.Query", read + " > s3blob.GetObject"},
			[]string{" > bucket.flush > bucket.Put > tiered.write > s3blob.PutObject", " > bucket.flush > bucket.Index > dynamoindex.PutItem"}},
		"with a cache": {onServers(servertest.SharedDynalite), []string{ask + " > bucket.plan > dynamoindex.Query", read + " > memcache.Get"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := newReceiver(t)
			r := runServe(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + to.URL}, append(c.open(t), append(hasty, "--log-level", "debug")...)...)
			traced(t, "POST", r.url+"/api/report", must1(os.ReadFile(goldentest.Files(t, "hosts/*/*")[0])))
			until(t, r.url+"/readyz", 200, "ready\n")
			eventually(t, func() bool { return strings.Contains(metrics(t, r.url), "\nscope_reports_stored_total{user=\"\"} 1\n") }, "it is not stored")
			end := time.Now()
			question := fmt.Sprintf("%s/api/report?start=%d&end=%d", r.url, end.Add(-time.Minute).UnixNano(), end.UnixNano())
			if answer := traced(t, "GET", question, nil); !strings.Contains(answer, `"host_name"`) {
				t.Errorf("answered %.200s", answer)
			}
			http.DefaultClient.CloseIdleConnections()
			r.signal()
			if code, took := r.end(t); code != 0 || took > 20*time.Second {
				t.Errorf("exit %d after %v: %s", code, took, r.stderr)
			}
			paths, others := to.paths(clientTrace, clientSpan), to.paths("", "")
			for _, want := range append(c.asked, " > POST /api/report > reports.Add", " > POST /api/report > reports.Add > reports.decode", " > GET /api/report > reports.encode") {
				if !slices.Contains(paths, want) {
					t.Errorf("no span%s among\n%s", want, strings.Join(paths, "\n"))
				}
			}
			for _, want := range c.flush {
				if !slices.Contains(others, want) {
					t.Errorf("no span%s among\n%s", want, strings.Join(others, "\n"))
				}
			}
			if n := len(paths) + len(others); n != len(to.spans) {
				t.Errorf("%d of %d spans hang together", n, len(to.spans))
			}
			if !to.services["timeblob-collector"] || len(to.services) != 1 {
				t.Errorf("services %v", to.services)
			}
			if !strings.Contains(r.stderr.String(), "msg=request method=POST path=/api/report status=200") || !strings.Contains(r.stderr.String(), "trace_id="+clientTrace) {
				t.Errorf("logged %s", r.stderr)
			}
		})
	}
}

// TestTracesOfAnotherName checks that the environment sets the service name and turns traces off.
func TestTracesOfAnotherName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env   []string
		spans bool
	}{
		"name":     {[]string{"OTEL_SERVICE_NAME=mine", "OTEL_RESOURCE_ATTRIBUTES=service.name=other,team=us"}, true},
		"disabled": {[]string{"OTEL_SDK_DISABLED=true"}, false},
		"none":     {[]string{"OTEL_TRACES_EXPORTER=none"}, false},
		"sampler":  {[]string{"OTEL_TRACES_SAMPLER=always_off"}, false},
		"not read": {[]string{"OTEL_PROPAGATORS=none", "OTEL_TRACES_SAMPLER=parentbased_always_off"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := newReceiver(t)
			r := runServe(t, append(c.env, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+to.URL+"/v1/traces"), embedded(t)...)
			traced(t, "GET", r.url+"/api/report", nil)
			http.DefaultClient.CloseIdleConnections()
			r.signal()
			if code, _ := r.end(t); code != 0 {
				t.Errorf("exit %d: %s", code, r.stderr)
			}
			if (len(to.spans) > 0) != c.spans || c.spans != to.services["mine"] || len(to.services) > 1 {
				t.Errorf("%d spans of %v", len(to.spans), to.services)
			}
		})
	}
}

// TestTracesByGRPC checks OTLP over gRPC.
func TestTracesByGRPC(t *testing.T) {
	t.Parallel()
	to, server := newReceiver(t), grpc.NewServer()
	collectortrace.RegisterTraceServiceServer(server, to)
	listener := must1(net.Listen("tcp", "127.0.0.1:0"))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	r := runServe(t, []string{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_ENDPOINT=http://" + listener.Addr().String()}, embedded(t)...)
	traced(t, "GET", r.url+"/api/report", nil)
	http.DefaultClient.CloseIdleConnections()
	r.signal()
	if code, _ := r.end(t); code != 0 {
		t.Errorf("exit %d: %s", code, r.stderr)
	}
	if paths := to.paths(clientTrace, clientSpan); !slices.Contains(paths, " > GET /api/report > reports.Report") {
		t.Errorf("spans %q", paths)
	}
}

// TestTracesToNobody checks that an unreachable receiver of spans does not slow down requests or the end of
// the process, and does not fill the log.
func TestTracesToNobody(t *testing.T) {
	t.Parallel()
	silent := must1(net.Listen("tcp", "127.0.0.1:0")) // the kernel accepts connections, and nobody answers
	t.Cleanup(func() { silent.Close() })
	for name, endpoint := range map[string]string{"hangs": "http://" + silent.Addr().String(), "refuses": "http://127.0.0.1:1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runServe(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + endpoint, "OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_BSP_MAX_QUEUE_SIZE=100"},
				append(embedded(t), append(hasty, "--shutdown-timeout", "6s")...)...)
			begun := time.Now()
			for range 300 {
				traced(t, "GET", r.url+"/api/report", nil)
			}
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("300 requests took %v", took)
			}
			http.DefaultClient.CloseIdleConnections()
			r.signal()
			if code, took := r.end(t); code != 0 || took > 15*time.Second {
				t.Errorf("exit %d after %v: %s", code, took, r.stderr)
			}
			if n := strings.Count(r.stderr.String(), "traces may be missing"); n > 2 || n == 0 {
				t.Errorf("it says so %d times: %s", n, r.stderr)
			}
		})
	}
}

// TestExports is not parallel, because it sets variables.
// TestProtocols is not parallel, because it sets variables.
