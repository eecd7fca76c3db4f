package rollup

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/internal/metric"
)

// Metrics are what an operator watches of builders. Builders that share a
// registry add up.
type Metrics struct {
	built, void, failed, broken, seconds *prometheus.CounterVec
	waiting, oldest                      *prometheus.GaugeVec
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer, namespace string) (*Metrics, error) {
	f := metric.Factory{Registerer: reg, Namespace: namespace}
	return &Metrics{
		built:   f.Counters("rollups_built_total", "Spans whose merge was stored and sealed, by level.", "level"),
		void:    f.Counters("rollups_void_total", "Spans whose merge is not kept, since it is too large or hardly smaller than its parts, by level.", "level"),
		failed:  f.Counters("rollups_failed_total", "Builds of roll-ups that failed and are tried again, by level.", "level"),
		broken:  f.Counters("rollups_broken_total", "Roll-ups that did not match their entries when the level above was built, by level: a writer does not keep the lateness.", "level"),
		seconds: f.Counters("rollup_build_seconds_total", "Time that building took, by level.", "level"),
		waiting: f.Gauges("rollups_waiting", "Spans that are due to be built, by level.", "level"),
		oldest:  f.Gauges("rollups_oldest_waiting_seconds", "How long the oldest span that is due could have been built already, by level.", "level"),
	}, f.Err
}

// Name returns how a level is called: "1m", "1h", "24h".
func Name(level time.Duration) string {
	name := level.String()
	if cut, ok := strings.CutSuffix(name, "m0s"); ok {
		name = cut + "m"
	}
	if cut, ok := strings.CutSuffix(name, "h0m"); ok {
		name = cut + "h"
	}
	return name
}
