package reports

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// peerMetrics watch how a Querier gets on with collectors.
type peerMetrics struct {
	known    prometheus.Gauge
	missing  prometheus.Counter
	failures prometheus.Counter // of look-ups
	duration *prometheus.HistogramVec
}

func newPeerMetrics(reg prometheus.Registerer, namespace string) (*peerMetrics, error) {
	f := factory{reg: reg, namespace: namespace}
	m := &peerMetrics{
		known: registered(&f, prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "collectors_known",
			Help: "Collectors that are known at the moment."})),
		missing:  f.counter("collectors_missing_total", "Collectors, and names of which none was found yet, that were missing in an answer, once for each answer."),
		failures: f.counter("collector_lookup_failures_total", "Look-ups of collectors' names that failed."),
		duration: registered(&f, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "collector_request_duration_seconds",
			Help: "Time of requests to collectors, in seconds.", Buckets: prometheus.DefBuckets,
		}, []string{"method", "status_code"})),
	}
	return m, f.err
}

func (m *peerMetrics) observe(method, status string, took time.Duration) {
	m.duration.WithLabelValues(method, status).Observe(took.Seconds())
}

// lookups counts how a look-up went.
func (m *peerMetrics) lookups(err error) {
	if err != nil {
		m.failures.Inc()
	}
}
