// Package tracing opens OpenTelemetry spans at next to no cost where nobody
// records any.
//
// A child is recorded where the span in its context is, by the provider that
// records that one. So the packages below a request need neither a provider nor
// an option for it; and without a recording span in the context, a child is
// nothing and costs a look into the context but no allocation.
//
// Attributes are named as OpenTelemetry's semantic conventions 1.43 name them,
// and "timeblob.…" where those have no name.
package tracing

import (
	"context"
	"errors"
	"io/fs"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// module is what the names of tracers begin with.
const module = "github.com/timeblob/timeblob/"

// Attributes that several packages set.
const (
	Tenant = "timeblob.tenant"
	Tier   = "timeblob.tier"
	Keys   = "timeblob.keys"  // that were asked for
	Found  = "timeblob.found" // of them
	Bytes  = "timeblob.bytes" // of blobs
)

// Scope is a package's path in the module. The names of its spans begin with
// it, as in "tiered.Get".
type Scope string

// Span is a span that was opened, or nothing: its methods may be called either
// way. It must be ended.
type Span struct{ span trace.Span }

// Child opens a span below the one in ctx, and returns the context to go on in.
func (s Scope) Child(ctx context.Context, name string) (context.Context, Span) {
	return s.below(ctx, name, trace.SpanKindInternal)
}

// Client is Child for a request to another process.
func (s Scope) Client(ctx context.Context, name string) (context.Context, Span) {
	return s.below(ctx, name, trace.SpanKindClient)
}

func (s Scope) below(ctx context.Context, name string, kind trace.SpanKind) (context.Context, Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	return s.start(ctx, parent.TracerProvider(), name, trace.WithSpanKind(kind))
}

// Root opens the first span of a trace of its own.
func (s Scope) Root(ctx context.Context, from trace.TracerProvider, name string) (context.Context, Span) {
	return s.start(ctx, from, name, trace.WithNewRoot())
}

func (s Scope) start(ctx context.Context, from trace.TracerProvider, name string, option trace.SpanStartOption) (context.Context, Span) {
	ctx, span := s.Tracer(from).Start(ctx, string(s)+"."+name, option)
	return ctx, Span{span}
}

// Tracer returns the package's tracer of a provider.
func (s Scope) Tracer(from trace.TracerProvider) trace.Tracer { return from.Tracer(module + string(s)) }

// Int sets an attribute.
func (s Span) Int(name string, n int) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int(name, n))
	}
}

// Text sets an attribute.
func (s Span) Text(name, text string) {
	if s.span != nil {
		s.span.SetAttributes(attribute.String(name, text))
	}
}

// Recording reports whether what is set will be kept, so that what is costly to
// find out need not be.
func (s Span) Recording() bool { return s.span != nil && s.span.IsRecording() }

// End ends the span. It failed unless err is nil, or fs.ErrExist, which says that
// a key is taken.
func (s Span) End(err error) {
	if s.span == nil {
		return
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		s.span.SetStatus(codes.Error, err.Error())
	}
	s.span.End()
}
