package natsbus

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/internal/metric"
)

// These are Scope's names for the operations in metrics.
const (
	methodPublish     = "Publish"
	methodSubscribe   = "SubscribeSync"
	methodNext        = "NextMsg"
	methodUnsubscribe = "Unsubscribe"
)

// metrics are the metrics of a bus. The name, labels and methods of requests are Scope's.
type metrics struct {
	requests  *prometheus.CounterVec // method, status_code: "200" or "500"
	connected prometheus.Gauge
}

// newMetrics returns registered metrics. Buses with the same registerer and namespace share them.
func newMetrics(reg prometheus.Registerer, namespace string) (*metrics, error) {
	f := metric.Factory{Registerer: reg, Namespace: namespace}
	requests := f.Counters("nats_requests_total",
		"What was asked of NATS, and messages that came (NextMsg); 500 is a failure, or messages dropped.", "method", "status_code")
	connected := f.Gauge("nats_connected", "Connections to NATS that are up.")
	if f.Err != nil {
		return nil, fmt.Errorf("natsbus: register metrics: %w", f.Err)
	}
	for _, method := range []string{methodPublish, methodSubscribe, methodNext, methodUnsubscribe} {
		requests.WithLabelValues(method, "200")
	}
	return &metrics{requests, connected}, nil
}

// count counts the result of an operation.
func (m *metrics) count(method string, err error) {
	code := "200"
	if err != nil {
		code = "500"
	}
	m.requests.WithLabelValues(method, code).Inc()
}
