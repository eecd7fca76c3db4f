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

// TracingHelp is what help says about traces.
const TracingHelp = `Traces are sent where OpenTelemetry's variables say: OTEL_EXPORTER_OTLP_ENDPOINT, as http://127.0.0.1:4318, or
OTEL_EXPORTER_OTLP_TRACES_ENDPOINT turns them on, and so does OTEL_TRACES_EXPORTER=otlp; none there, or
OTEL_SDK_DISABLED=true, turns them off. OTEL_EXPORTER_OTLP_PROTOCOL may be http/protobuf, http/json or grpc.
OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_PROPAGATORS (tracecontext and baggage),
OTEL_BSP_… and the other OTEL_EXPORTER_OTLP_… mean what they mean everywhere.`

// serviceName is what traces are of unless OTEL_SERVICE_NAME says otherwise.
const serviceName = "timeblob-collector"

// MaxFlush bounds how long spans take at the end: they are worth less than a
// restart is.
const MaxFlush = 5 * time.Second

// Tracing is where spans go. The zero value is nowhere.
type Tracing struct {
	Provider   trace.TracerProvider // nil for none
	Propagator propagation.TextMapPropagator
	Stop       func(context.Context) error
}

// Start begins to send spans as the environment says. It connects to
// nobody before there are any. What the environment says wrongly is logged, and
// nothing else about it changes.
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
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(from)) // and the sampler of the environment
	t.Provider, t.Stop = p, p.Shutdown
	return t, nil
}

// exports reports whether the environment asks for spans to be sent.
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
	log.Warn("OTEL_TRACES_EXPORTER is not known, so that there are no traces: it must be otlp or none", "value", chosen)
	return false
}

// otlpClient returns what speaks the protocol that the environment says.
func otlpClient(log *slog.Logger) otlptrace.Client {
	switch chosen := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")); chosen {
	case "grpc":
		return otlptracegrpc.NewClient()
	case "", "http/protobuf", "http/json": // which of them the client reads by itself
	default:
		log.Warn("OTEL_EXPORTER_OTLP_PROTOCOL is not known, and http/protobuf in its place", "value", chosen)
	}
	return otlptracehttp.NewClient()
}

// propagators returns what reads off requests whose trace they are of.
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

// calm logs errors of the exporter now and then: the first, and then one in a
// while with how many there were.
type calm struct {
	log   *slog.Logger
	every time.Duration
	now   func() time.Time

	mu     sync.Mutex // guards what follows
	next   time.Time  // when to log again
	silent int        // errors since the last that was logged
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

// traceIDs puts the trace and the span of a context, where there are any, into
// the lines that are logged with it.
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

// WithGroup implements slog.Handler. The trace is then in the group, too.
func (h traceIDs) WithGroup(name string) slog.Handler { return traceIDs{h.Handler.WithGroup(name)} }
