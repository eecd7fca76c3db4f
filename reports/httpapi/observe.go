package httpapi

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/timeblob/timeblob/internal/tracing"
)

// spans are decode and encode, below the span of the request.
const spans = tracing.Scope("reports")

// untraced are the routes that machines request all the time.
var untraced = map[string]bool{"healthz": true, "readyz": true, "metrics": true}

// observation is the span and the log line of a request.
type observation struct {
	*Handler
	request *http.Request
	answer  *recorder
	route   string
	tenant  string // empty if the request has none
	span    trace.Span
	body    *countedBody // nil if nothing records the request
	begun   time.Time
}

// observe starts the span of a request, below the client's. It returns the request
// to answer, and the function to call when it is answered.
func (h *Handler) observe(r *http.Request, route string, who caller, answer *recorder) (*http.Request, func()) {
	v := &observation{Handler: h, answer: answer, route: route, span: trace.SpanFromContext(context.Background()), begun: time.Now()}
	if who.err == nil {
		v.tenant = who.tenant
	}
	ctx := h.opts.Propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	if !untraced[route] {
		ctx, v.span = spans.Tracer(h.opts.TracerProvider).Start(ctx, v.name(r), trace.WithSpanKind(trace.SpanKindServer))
	}
	r = r.WithContext(ctx)
	if v.recorded() && r.Body != nil && r.Body != http.NoBody {
		v.body = &countedBody{ReadCloser: r.Body}
		r.Body = v.body
	}
	v.request = r
	return r, v.end
}

// name returns the name of the span: the method, and the path if it has a route.
func (v *observation) name(r *http.Request) string {
	if _, ours := v.routes[r.URL.Path]; ours {
		return methodLabel(r.Method) + " " + r.URL.Path
	}
	return methodLabel(r.Method)
}

// recorded reports whether the request is traced or logged.
func (v *observation) recorded() bool { return v.span.IsRecording() || v.logged() }

func (v *observation) logged() bool {
	return v.opts.Logger.Enabled(context.Background(), slog.LevelDebug)
}

// end ends the span and writes the log line.
func (v *observation) end() {
	defer v.span.End()
	if !v.recorded() {
		return
	}
	if v.span.IsRecording() {
		v.describe()
	}
	if v.logged() {
		v.log()
	}
}

// log writes the log line. It leaves out the query and the headers, which may
// hold secrets.
func (v *observation) log() {
	path := v.request.URL.Path
	const most = 200
	attrs := []slog.Attr{
		slog.String("method", methodLabel(v.request.Method)), slog.String("path", path[:min(len(path), most)]),
		slog.Int("status", v.answer.code()), slog.Duration("duration", time.Since(v.begun)),
		slog.String("tenant", v.tenant), slog.Int64("bytes_in", v.body.bytes()), slog.Int64("bytes_out", v.answer.bytes),
	}
	if v.answer.broken {
		attrs = append(attrs, slog.Bool("broken_off", true))
	}
	v.opts.Logger.LogAttrs(v.request.Context(), slog.LevelDebug, "request", attrs...)
}

// describe sets the attributes of the span by the semantic conventions, and its
// error if the request failed through no fault of the client.
func (v *observation) describe() {
	r, code := v.request, v.answer.code()
	attrs := append(make([]attribute.KeyValue, 0, 16),
		attribute.String("http.request.method", methodLabel(r.Method)),
		attribute.String("url.path", r.URL.Path),
		attribute.String("url.scheme", scheme(r)),
		attribute.String("server.address", host(r.Host)),
		attribute.String("client.address", host(r.RemoteAddr)),
		attribute.String("network.protocol.version", protocol(r)),
		attribute.Int("http.response.status_code", code),
		attribute.Int64("http.request.body.size", v.body.bytes()),
		attribute.Int64("http.response.body.size", v.answer.bytes),
		attribute.String(tracing.Tenant, v.tenant),
	)
	if _, ours := v.routes[r.URL.Path]; ours {
		attrs = append(attrs, attribute.String("http.route", r.URL.Path))
	}
	if agent := r.UserAgent(); agent != "" {
		attrs = append(attrs, attribute.String("user_agent.original", agent))
	}
	if code >= 500 || v.answer.broken {
		attrs = append(attrs, attribute.String("error.type", strconv.Itoa(code)))
		v.span.SetStatus(codes.Error, v.answer.why)
	}
	v.span.SetAttributes(attrs...)
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// protocol returns the version of HTTP as the semantic conventions write it.
func protocol(r *http.Request) string {
	if r.ProtoMajor == 1 {
		return "1." + strconv.Itoa(r.ProtoMinor)
	}
	return strconv.Itoa(r.ProtoMajor)
}

// host returns an address without its port.
func host(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

// countedBody counts the bytes that are read from a body.
type countedBody struct {
	io.ReadCloser
	n int64
}

func (c *countedBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *countedBody) bytes() int64 {
	if c == nil {
		return 0
	}
	return c.n
}
