package reports

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

// spans are, below the request's, decode and encode, which wait for their turn,
// and the Collector's Add, Report and Range.
const spans = tracing.Scope("reports")

// untraced are the routes that machines ask all the time.
var untraced = map[string]bool{"healthz": true, "readyz": true, "metrics": true}

// visit is a request while it is answered: its span, and what is said of it in
// the end.
type visit struct {
	*Handler
	request *http.Request
	answer  *recorder
	route   string
	span    trace.Span
	body    *countedBody // nil when nobody wants to know
	begun   time.Time
}

// visit opens the span of a request, below the one that the client names. What
// it returns is the request to answer, and the end of the visit.
func (h *Handler) visit(r *http.Request, route string, answer *recorder) (*http.Request, func()) {
	v := &visit{Handler: h, answer: answer, route: route, span: trace.SpanFromContext(context.Background()), begun: time.Now()}
	ctx := h.opts.Propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	if !untraced[route] {
		ctx, v.span = spans.Tracer(h.opts.TracerProvider).Start(ctx, v.name(r), trace.WithSpanKind(trace.SpanKindServer))
	}
	r = r.WithContext(ctx)
	if v.told() && r.Body != nil && r.Body != http.NoBody {
		v.body = &countedBody{ReadCloser: r.Body}
		r.Body = v.body
	}
	v.request = r
	return r, v.end
}

// name is the span's: the method, and the path if it is one of ours.
func (v *visit) name(r *http.Request) string {
	if _, ours := v.routes[r.URL.Path]; ours {
		return methodLabel(r.Method) + " " + r.URL.Path
	}
	return methodLabel(r.Method)
}

// told reports whether anybody is told of the request.
func (v *visit) told() bool { return v.span.IsRecording() || v.logged() }

func (v *visit) logged() bool {
	return v.opts.Logger.Enabled(context.Background(), slog.LevelDebug)
}

// end says how the request went.
func (v *visit) end() {
	defer v.span.End()
	if !v.told() {
		return
	}
	tenant, err := v.tenant(v.request)
	if err != nil {
		tenant = ""
	}
	if v.span.IsRecording() {
		v.describe(tenant)
	}
	if v.logged() {
		v.log(tenant)
	}
}

// log writes the line of the request: neither its query nor its headers, which
// may hold what is secret.
func (v *visit) log(tenant string) {
	path := v.request.URL.Path
	const most = 200
	attrs := []slog.Attr{
		slog.String("method", methodLabel(v.request.Method)), slog.String("path", path[:min(len(path), most)]),
		slog.Int("status", v.answer.code()), slog.Duration("duration", time.Since(v.begun)),
		slog.String("tenant", tenant), slog.Int64("bytes_in", v.body.bytes()), slog.Int64("bytes_out", v.answer.bytes),
	}
	if v.answer.broken {
		attrs = append(attrs, slog.Bool("broken_off", true))
	}
	v.opts.Logger.LogAttrs(v.request.Context(), slog.LevelDebug, "request", attrs...)
}

// describe sets the attributes of the span, as the semantic conventions name
// them, and the error of a failure that is not the client's.
func (v *visit) describe(tenant string) {
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
		attribute.String(tracing.Tenant, tenant),
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

// protocol is the version of HTTP, as the semantic conventions write it.
func protocol(r *http.Request) string {
	if r.ProtoMajor == 1 {
		return "1." + strconv.Itoa(r.ProtoMinor)
	}
	return strconv.Itoa(r.ProtoMajor)
}

// host is an address without its port.
func host(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

// countedBody is a body of which the bytes that are read count.
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

// asking opens the span of a question about [from, to).
func asking(ctx context.Context, name, tenant string, from, to time.Time) (context.Context, tracing.Span) {
	ctx, asked := spans.Child(ctx, name)
	if asked.Recording() {
		asked.Text(tracing.Tenant, tenant)
		asked.Text("timeblob.from", stamp(from))
		asked.Text("timeblob.to", stamp(to))
	}
	return ctx, asked
}
