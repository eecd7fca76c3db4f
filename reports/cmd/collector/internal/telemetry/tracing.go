package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TracingHelp is the part of help about traces.
const TracingHelp = `Traces are sent where OpenTelemetry's variables say: OTEL_EXPORTER_OTLP_ENDPOINT, as http://127.0.0.1:4318, or
OTEL_EXPORTER_OTLP_TRACES_ENDPOINT turns them on, and so does OTEL_TRACES_EXPORTER=otlp; none there, or
OTEL_SDK_DISABLED=true, turns them off. OTEL_EXPORTER_OTLP_PROTOCOL may be http/protobuf, http/json or grpc.
OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_PROPAGATORS (tracecontext and baggage),
OTEL_BSP_… and the other OTEL_EXPORTER_OTLP_… mean what they mean everywhere.`

// serviceName is the service name in traces unless OTEL_SERVICE_NAME is set.
const serviceName = "timeblob-collector"

// MaxFlush limits the time for sending the last spans, so that they do not delay a restart.
const MaxFlush = 5 * time.Second

// Tracing sends spans. The zero value sends none.
type Tracing struct {
	Provider   trace.TracerProvider // nil for none
	Propagator propagation.TextMapPropagator
	Stop       func(context.Context) error
}

// Start sends spans as the environment says. It connects when there are spans to send. It logs wrong
// variables and otherwise ignores them.
func Start(ctx context.Context, log *slog.Logger) (Tracing, error) {
	t := Tracing{Propagator: propagators(log), Stop: func(context.Context) error { return nil }}
	if !exports(log) {
		return t, nil
	}
	otel.SetErrorHandler(&calm{log: log, every: time.Minute, now: time.Now})
	otel.SetLogger(logr.FromSlogHandler(log.Handler()))
	exporter, err := otlptrace.New(ctx, otlpClient(log))
	if err != nil {
		return t, fmt.Errorf("OTLP exporter: %w", err)
	}
	from, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithAttributes(
		attribute.String("service.name", serviceName), attribute.String("service.version", cli.Version())), resource.WithFromEnv())
	if err != nil {
		log.Warn("OpenTelemetry resource", "err", err)
	}
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(from)) // the SDK reads the sampler from the environment
	t.Provider, t.Stop = p, p.Shutdown
	return t, nil
}

// exports reports whether the environment asks for spans.
func exports(log *slog.Logger) bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	chosen := os.Getenv("OTEL_TRACES_EXPORTER")
	switch strings.TrimSpace(chosen) {
	case "":
		return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	case "otlp":
		return true
	case "none":
		return false
	}
	log.Warn("OTEL_TRACES_EXPORTER is not known, so traces are off: it must be otlp or none", "value", chosen)
	return false
}

// otlpClient returns a client for the protocol in the environment.
func otlpClient(log *slog.Logger) otlptrace.Client {
	switch chosen := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")); chosen {
	case "grpc":
		return otlptracegrpc.NewClient()
	case "", "http/protobuf", "http/json": // the client chooses between the two
	default:
		log.Warn("OTEL_EXPORTER_OTLP_PROTOCOL is not known; http/protobuf is used", "value", chosen)
	}
	return otlptracehttp.NewClient()
}

// propagators returns the propagators, which read trace contexts from requests.
func propagators(log *slog.Logger) propagation.TextMapPropagator {
	known := map[string]propagation.TextMapPropagator{"tracecontext": propagation.TraceContext{}, "baggage": propagation.Baggage{}}
	var chosen []propagation.TextMapPropagator
	for name := range strings.SplitSeq(cmp.Or(os.Getenv("OTEL_PROPAGATORS"), "tracecontext,baggage"), ",") {
		name = strings.TrimSpace(name)
		if p, ok := known[name]; ok {
			chosen = append(chosen, p)
		} else if name != "none" {
			log.Warn("a name in OTEL_PROPAGATORS is not known: it must be tracecontext, baggage or none", "name", name)
		}
	}
	return propagation.NewCompositeTextMapPropagator(chosen...)
}

// calm logs the first error of the exporter, and then at most one in a while with the number of errors before
// it.
type calm struct {
	log   *slog.Logger
	every time.Duration
	now   func() time.Time

	mu     sync.Mutex // guards the fields below
	next   time.Time  // when the next error may be logged
	silent int        // errors since the last logged one
}

// Handle implements otel.ErrorHandler.
func (c *calm) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if now.Before(c.next) {
		c.silent++
		return
	}
	c.log.Warn("OpenTelemetry: traces may be missing", "err", err, "errors_before", c.silent)
	c.next, c.silent = now.Add(c.every), 0
}

// traceIDs adds the trace and span IDs of the context to log lines.
type traceIDs struct{ slog.Handler }

// Handle implements slog.Handler.
func (h traceIDs) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h traceIDs) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceIDs{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler. The IDs are then in the group, too.
func (h traceIDs) WithGroup(name string) slog.Handler { return traceIDs{h.Handler.WithGroup(name)} }
