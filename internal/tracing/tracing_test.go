package tracing_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/timeblob/timeblob/internal/tracing"
)

const spans = tracing.Scope("tiered")

func provider(sampler sdktrace.Sampler) (*tracetest.SpanRecorder, trace.TracerProvider) {
	recorder := tracetest.NewSpanRecorder()
	return recorder, sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder), sdktrace.WithSampler(sampler))
}

func TestChildrenFollowTheirParent(t *testing.T) {
	t.Parallel()
	recorder, from := provider(sdktrace.AlwaysSample())
	ctx, root := spans.Root(t.Context(), from, "root")
	inner, child := spans.Child(ctx, "Get")
	_, client := spans.Client(inner, "ask")
	child.Int(tracing.Keys, 3)
	child.Text(tracing.Tier, "authority")
	client.End(errors.New("refused"))
	child.End(nil)
	_, other := spans.Root(inner, from, "other")
	other.End(fmt.Errorf("key: %w", fs.ErrExist))
	root.End(nil)
	ended := recorder.Ended()
	if len(ended) != 4 {
		t.Fatalf("%d spans, want 4", len(ended))
	}
	asked, got, apart, first := ended[0], ended[1], ended[2], ended[3]
	if got.Name() != "tiered.Get" || got.InstrumentationScope().Name != "github.com/timeblob/timeblob/tiered" {
		t.Errorf("name %q of %q", got.Name(), got.InstrumentationScope().Name)
	}
	if asked.Parent().SpanID() != got.SpanContext().SpanID() || got.Parent().SpanID() != first.SpanContext().SpanID() {
		t.Error("the spans are not below each other")
	}
	if apart.Parent().IsValid() || apart.SpanContext().TraceID() == first.SpanContext().TraceID() {
		t.Error("a root below another span is not one")
	}
	if asked.Status() != (sdktrace.Status{Code: codes.Error, Description: "refused"}) || got.Status().Code != codes.Unset || apart.Status().Code != codes.Unset {
		t.Errorf("status %v, %v and %v", asked.Status(), got.Status(), apart.Status())
	}
	if asked.SpanKind() != trace.SpanKindClient || got.SpanKind() != trace.SpanKindInternal {
		t.Errorf("kinds %v and %v", asked.SpanKind(), got.SpanKind())
	}
	if set := attribute.NewSet(got.Attributes()...); set.Len() != 2 || !set.HasValue(tracing.Keys) || !set.HasValue(tracing.Tier) {
		t.Errorf("attributes %v", got.Attributes())
	}
}

// unrecorded are contexts in which nobody records spans.
func unrecorded(ctx context.Context) map[string]context.Context {
	_, never := provider(sdktrace.NeverSample())
	dropped, _ := spans.Root(ctx, never, "dropped")
	silent, _ := spans.Root(ctx, noop.NewTracerProvider(), "silent")
	remote := propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{
		"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
	return map[string]context.Context{"none": ctx, "not sampled": dropped, "no SDK": silent, "only the client's": remote}
}

func TestUnrecordedChildrenAreNothing(t *testing.T) {
	t.Parallel()
	for name, ctx := range unrecorded(t.Context()) {
		inner, child := spans.Child(ctx, "Get")
		child.Int(tracing.Keys, 3)
		child.Text(tracing.Tier, "authority")
		child.End(errors.New("refused"))
		if inner != ctx || child.Recording() || child != (tracing.Span{}) {
			t.Errorf("%s: a span was opened", name)
		}
	}
}

// TestUnrecordedChildrenCostNothing is not parallel: others' allocations would
// count.
func TestUnrecordedChildrenCostNothing(t *testing.T) {
	err := errors.New("refused")
	for name, ctx := range unrecorded(t.Context()) {
		allocs := testing.AllocsPerRun(100, func() {
			_, child := spans.Child(ctx, "Get")
			child.Int(tracing.Keys, 3)
			child.Text(tracing.Tier, "authority")
			child.End(err)
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

func BenchmarkChild(b *testing.B) {
	for name, ctx := range unrecorded(b.Context()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, child := spans.Child(ctx, "Get")
				child.Int(tracing.Keys, 3)
				child.End(nil)
			}
		})
	}
	b.Run("recorded", func(b *testing.B) {
		ctx, root := spans.Root(b.Context(), sdktrace.NewTracerProvider(), "root")
		defer root.End(nil)
		b.ReportAllocs()
		for b.Loop() {
			_, child := spans.Child(ctx, "Get")
			child.Int(tracing.Keys, 3)
			child.End(nil)
		}
	})
}
