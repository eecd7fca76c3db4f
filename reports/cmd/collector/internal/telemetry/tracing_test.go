package telemetry

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCalm(t *testing.T) {
	t.Parallel()
	stderr, now := &bytes.Buffer{}, time.Now()
	c := &calm{log: Warnings(stderr), every: time.Minute, now: func() time.Time { return now }}
	for range 100 {
		c.Handle(io.EOF)
	}
	now = now.Add(time.Minute)
	c.Handle(io.EOF)
	if said := stderr.String(); strings.Count(said, "\n") != 2 || !strings.Contains(said, "errors_before=99\n") {
		t.Errorf("said %s", said)
	}
}

func TestExports(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want bool
		said string
	}{
		"nothing":   {nil, false, ""},
		"endpoint":  {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, true, ""},
		"traces":    {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, true, ""},
		"exporter":  {map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true, ""},
		"none":      {map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, false, ""},
		"disabled":  {map[string]string{"OTEL_SDK_DISABLED": "TRUE", "OTEL_TRACES_EXPORTER": "otlp"}, false, ""},
		"not known": {map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, false, "must be otlp or none"},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			stderr := &bytes.Buffer{}
			if got := exports(Warnings(stderr)); got != c.want || !strings.Contains(stderr.String(), c.said) || c.said == "" && stderr.String() != "" {
				t.Errorf("%v, said %s", got, stderr)
			}
		})
	}
}

func TestProtocols(t *testing.T) {
	for chosen, want := range map[string]string{"": "*otlptracehttp.client", "http/json": "*otlptracehttp.client", "grpc": "*otlptracegrpc.client", "carrier-pigeon": "*otlptracehttp.client"} {
		t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", chosen)
		stderr := &bytes.Buffer{}
		if got := fmt.Sprintf("%T", otlpClient(Warnings(stderr))); got != want || (chosen == "carrier-pigeon") != (stderr.String() != "") {
			t.Errorf("%s: %s, said %s", chosen, got, stderr)
		}
	}
	for chosen, fields := range map[string]string{"": "[traceparent tracestate baggage]", "tracecontext": "[traceparent tracestate]", "none": "[]", "b3": "[]"} {
		t.Setenv("OTEL_PROPAGATORS", chosen)
		stderr := &bytes.Buffer{}
		got := propagators(Warnings(stderr)).Fields()
		slices.Sort(got)
		want := strings.Fields(strings.Trim(fields, "[]"))
		slices.Sort(want)
		if !slices.Equal(got, want) || (chosen == "b3") != (stderr.String() != "") {
			t.Errorf("%s: %v, said %s", chosen, got, stderr)
		}
	}
}
