package httpapi

import (
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/peers"
	"github.com/timeblob/timeblob/tiered"
)

// TestReadyOfAQuerier checks that a querier is ready when it knows a collector.
func TestReadyOfAQuerier(t *testing.T) {
	t.Parallel()
	set, err := peers.New(list(t, "srv:collectors.example"), nil)
	if err != nil {
		t.Fatal(err)
	}
	q, err := reports.NewQuerier(index.NewMemIndex(), new(tiered.MemTier), set, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewQuery(q, nil)
	if err != nil {
		t.Fatal(err)
	}
	(&fixture{handler: h}).ready(t, 503, "collectors: none is known yet")
	(&fixture{handler: newCluster(t, 1, nil).handler}).ready(t, 200, "ready")
}

// TestSpansOfAQuerier checks that the spans of collectors belong to the question's trace.
func TestSpansOfAQuerier(t *testing.T) {
	t.Parallel()
	recorder, change := traced(sdktrace.AlwaysSample())
	traces := &Options{}
	change(&reports.Options{}, traces)
	c := newCluster(t, 2, func(_ *reports.Options, q *querierOptions, _ *cluster) { q.peers.Propagator = traces.Propagator })
	for _, h := range []*Handler{c.handler, c.collectors[0].handler, c.collectors[1].handler} {
		h.opts.TracerProvider, h.opts.Propagator = traces.TracerProvider, traces.Propagator
	}
	c.add(t, 0, "acme", hosts("h1"))
	if w := (&fixture{handler: c.handler}).serve("GET", "/api/report", nil, acme, traceparent); !strings.Contains(w.Body.String(), "h1;") {
		t.Fatal(w.Code, w.Body)
	}
	client, err := trace.SpanIDFromHex(clientSpan)
	if err != nil {
		t.Fatal(err)
	}
	tree := outline(recorder.Ended(), client)
	if n := strings.Count(tree, "reports.ask {GET /api/held"); n != 2 || !strings.HasPrefix(tree, "{GET /api/report {reports.Report {") {
		t.Errorf("%d collectors in %s", n, tree)
	}
	if others := outline(recorder.Ended(), trace.SpanID{}); others != "" {
		t.Errorf("apart: %s", others)
	}
}
