package dynamoindex_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/servertest"
)

// metric returns a counter's value, or how many a histogram has observed, of
// the series with these label values; 0 when there is none.
func metric(t *testing.T, reg *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if hasLabels(m, labels) {
				return m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return 0
}

func hasLabels(m *dto.Metric, values []string) bool {
	for i, pair := range m.GetLabel() { // sorted by name
		if i >= len(values) || pair.GetValue() != values[i] {
			return false
		}
	}
	return true
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	opts := patient()
	opts.Registerer, opts.Namespace = reg, "scope"
	x, transport, _ := faulty(t, servertest.SharedDynalite(t), opts)
	e := entries(someRow, 10)
	put(t, x, someRow, e...)
	expect(t, x, someRow, e)
	if err := x.Put(t.Context(), someRow, e[0]); !errors.Is(err, index.ErrExists) {
		t.Fatal(err)
	}
	transport.Inject(faulttest.Fault{Status: http.StatusServiceUnavailable, Times: 2})
	expect(t, x, someRow, e)
	transport.Inject(faulttest.Fault{Err: faulttest.ErrReset})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = x.Put(ctx, someRow, e[1])
	_ = x.Put(t.Context(), someRow, e[1])

	size := float64(len(e[0].Key) * len(e))
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"scope_dynamo_request_duration_seconds", []string{"DynamoDB.PutItem", "200"}, 10},
		{"scope_dynamo_request_duration_seconds", []string{"DynamoDB.PutItem", "400"}, 1},
		{"scope_dynamo_request_duration_seconds", []string{"DynamoDB.PutItem", "cancel"}, 1},
		{"scope_dynamo_request_duration_seconds", []string{"DynamoDB.PutItem", "500"}, 1},
		{"scope_dynamo_request_duration_seconds", []string{"DynamoDB.GetItem", "200"}, 2}, // of the marker and the taken instant
		{"scope_dynamo_request_duration_seconds", []string{"DynamoDB.Query", "200"}, 3},   // one of the settings of levels
		{"scope_dynamo_request_duration_seconds", []string{"DynamoDB.Query", "503"}, 0},
		{"scope_dynamo_consumed_capacity_total", []string{"PutItem"}, 10},
		{"scope_dynamo_consumed_capacity_total", []string{"GetItem"}, 2},
		{"scope_dynamo_consumed_capacity_total", []string{"Query"}, 2}, // of less than 4 kB
		{"scope_dynamo_value_size_bytes_total", []string{"PutItem"}, size},
		{"scope_dynamo_value_size_bytes_total", []string{"Query"}, 2 * size},
		{"scope_dynamo_retries_total", []string{"Query"}, 2},
		{"scope_dynamo_retries_total", []string{"PutItem"}, 4},
	} {
		if got := metric(t, reg, c.name, c.labels...); got != c.want {
			t.Errorf("%s%q is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
}

func TestIndexesShareMetrics(t *testing.T) {
	t.Parallel()
	endpoint := servertest.SharedDynalite(t)
	reg := prometheus.NewRegistry()
	opts := patient()
	opts.Registerer = reg
	_, table := fresh(t, endpoint, nil)
	e := entries(someRow, 2)
	put(t, openIndex(t, endpoint, table, opts), someRow, e[0])
	put(t, openIndex(t, endpoint, table, opts), someRow, e[1])
	if got := metric(t, reg, "timeblob_dynamo_consumed_capacity_total", "PutItem"); got != 2 {
		t.Errorf("two indexes have consumed %v units, want 2", got)
	}
	clash := prometheus.NewRegistry()
	clash.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "timeblob_dynamo_retries_total"}))
	if _, err := dynamoindex.New(configFor(endpoint), table, &dynamoindex.Options{Registerer: clash}); err == nil {
		t.Error("an index registered beside a gauge of the same name")
	}
}
