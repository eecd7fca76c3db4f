package memcache

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"

	"github.com/timeblob/timeblob/internal/metric"
)

// These are Scope's names for the operations in metrics.
const (
	methodGet = "Memcache.GetMulti"
	methodPut = "Memcache.Put"
)

// metrics are the metrics of a tier. The names and labels of the first three are Scope's, and so are the
// values of method. status_code is "200", "500", or "cancel" when the caller's context ended.
type metrics struct {
	requests, hits          prometheus.Counter
	seconds                 *prometheus.HistogramVec // method, status_code
	skippedSize, skippedKey prometheus.Counter
	lookupFailures          prometheus.Counter
	byState                 *prometheus.GaugeVec // state
}

// newMetrics returns registered metrics. Tiers with the same registerer and namespace share them.
func newMetrics(reg prometheus.Registerer, namespace string) (*metrics, error) {
	f := metric.Factory{Registerer: reg, Namespace: namespace}
	m := &metrics{
		requests: f.Counter("memcache_requests_total", "Keys that memcached was asked for."),
		hits:     f.Counter("memcache_hits_total", "Keys that memcached had."),
		seconds: f.Histograms("memcache_request_duration_seconds",
			"How long gets and puts took, over all servers they concerned. The status code may be cancel.",
			prometheus.DefBuckets, // Scope's
			"method", "status_code"),
		lookupFailures: f.Counter("memcache_lookup_failures_total",
			"Refreshes that could not look up all names or addresses of servers."),
		byState: f.Gauges("memcache_servers",
			"Servers, by the state of their breakers: closed ones are asked, open ones left alone, half-open ones tried.", "state"),
	}
	skipped := f.Counters("memcache_skipped_total",
		"Blobs not stored because they are too big (size), or their key is not allowed (key).", "reason")
	m.skippedSize, m.skippedKey = skipped.WithLabelValues("size"), skipped.WithLabelValues("key")
	for _, state := range []gobreaker.State{gobreaker.StateClosed, gobreaker.StateHalfOpen, gobreaker.StateOpen} {
		m.servers(state)
	}
	if f.Err != nil {
		return nil, fmt.Errorf("memcache: register metrics: %w", f.Err)
	}
	return m, nil
}

// servers returns the gauge of servers whose circuit is in a state.
func (m *metrics) servers(state gobreaker.State) prometheus.Gauge {
	return m.byState.WithLabelValues(state.String())
}

// observe counts a call.
func (m *metrics) observe(caller context.Context, method string, err error, took time.Duration) {
	code := "200"
	switch {
	case err != nil && caller.Err() != nil:
		code = "cancel"
	case err != nil:
		code = "500"
	}
	m.seconds.WithLabelValues(method, code).Observe(took.Seconds())
}
