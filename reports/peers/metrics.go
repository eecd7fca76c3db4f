package peers

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/internal/metric"
)

// metrics watches the collectors and the requests to them.
type metrics struct {
	known    prometheus.Gauge
	failures prometheus.Counter // of look-ups
	duration *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer, namespace string) (*metrics, error) {
	f := metric.Factory{Registerer: reg, Namespace: namespace}
	m := &metrics{
		known:    f.Gauge("collectors_known", "Collectors that are known at the moment."),
		failures: f.Counter("collector_lookup_failures_total", "Look-ups of collectors' names that failed."),
		duration: f.Histograms("collector_request_duration_seconds", "Time of requests to collectors, in seconds.",
			prometheus.DefBuckets, "method", "status_code"),
	}
	return m, f.Err
}

// observe counts a request to a collector.
func (m *metrics) observe(method, status string, took time.Duration) {
	m.duration.WithLabelValues(method, status).Observe(took.Seconds())
}

// lookedUp counts a look-up after which so many collectors are known.
func (m *metrics) lookedUp(known int, err error) {
	m.known.Set(float64(known))
	if err != nil {
		m.failures.Inc()
	}
}
