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
	bytes, values, tenantIDs prometheus.Gauge
	limit, oldest            prometheus.Gauge
}

func newCollectorMetrics(reg prometheus.Registerer, namespace string) (*collectorMetrics, error) {
	m := &collectorMetrics{}
	var errs [9]error
	m.flush, errs[0] = metric.Register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: "flush_duration_seconds",
		Help:    "Time of each step of flushing a value, by step; status code 500 when it failed.",
		Buckets: prometheus.DefBuckets}, []string{"method", "status_code"}))
	counter := func(name, help string) (prometheus.Counter, error) {
		return metric.Register(reg, prometheus.NewCounter(
			prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}))
	}
	gauge := func(name, help string) (prometheus.Gauge, error) {
		return metric.Register(reg, prometheus.NewGauge(
			prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}))
	}
	m.retries, errs[1] = counter("flush_retries_total", "Attempts to flush a value that failed and are repeated.")
	m.refused, errs[2] = counter("values_refused_total", "Values refused because too many bytes were pending, of their tenant or of all, or too many tenants in memory.")
	m.bytes, errs[3] = gauge("pending_bytes", "Bytes of memory of the values that are not discoverable yet.")
	m.values, errs[4] = gauge("pending_values", "Sealed values that are not discoverable yet.")
	m.tenantIDs, errs[5] = gauge("live_tenants", "Tenants with values in memory.")
	m.limit, errs[6] = gauge("pending_limit_bytes", "Bytes that may be pending before values are refused.")
	m.failed, errs[7] = counter("values_failed_total", "Values dropped because they can never be stored.")
	m.oldest, errs[8] = gauge("pending_oldest_seconds", "How long the oldest sealed value had waited to become discoverable when the last tick ended.")
	return m, errors.Join(errs[:]...)
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
