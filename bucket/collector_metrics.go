package bucket

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/metric"
)

// collectorMetrics are what an operator watches of a Collector. Collectors
// that share a registry add up.
type collectorMetrics struct {
	flush                    *prometheus.HistogramVec
	retries, refused, failed prometheus.Counter
	repeated                 prometheus.Counter
	bytes, values, tenantIDs prometheus.Gauge
	limit, oldest            prometheus.Gauge
}

func newCollectorMetrics(reg prometheus.Registerer, namespace string) (*collectorMetrics, error) {
	f := metric.Factory{Registerer: reg, Namespace: namespace}
	return &collectorMetrics{
		flush: f.Histograms("flush_duration_seconds", "Time of each step of flushing a value, by step; status code 500 when it failed.",
			prometheus.DefBuckets, "method", "status_code"),
		retries:   f.Counter("flush_retries_total", "Attempts to flush a value that failed and are repeated."),
		refused:   f.Counter("values_refused_total", "Values refused because too many bytes were pending, of their tenant or of all, or too many tenants in memory."),
		repeated:  f.Counter("values_repeated_total", "Values that were added again within a window, under the same id, and count once."),
		bytes:     f.Gauge("pending_bytes", "Bytes of memory of the values that are not discoverable yet."),
		values:    f.Gauge("pending_values", "Sealed values that are not discoverable yet."),
		tenantIDs: f.Gauge("live_tenants", "Tenants with values in memory."),
		limit:     f.Gauge("pending_limit_bytes", "Bytes that may be pending before values are refused."),
		failed:    f.Counter("values_failed_total", "Values dropped because they can never be stored."),
		oldest:    f.Gauge("pending_oldest_seconds", "How long the oldest sealed value had waited to become discoverable when the last tick ended."),
	}, f.Err
}

// observe notes how long a step took, under the status codes that Scope's
// dashboards know.
func (m *collectorMetrics) observe(step string, err error, took time.Duration) {
	code := "200"
	if err != nil && !errors.Is(err, index.ErrExists) {
		code = "500"
	}
	m.flush.WithLabelValues(step, code).Observe(took.Seconds())
}
