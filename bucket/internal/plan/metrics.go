package plan

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/internal/metric"
)

// Metrics count what a Past does.
type Metrics struct {
	requests prometheus.Counter
	hits     prometheus.Counter
	merges   prometheus.Counter
	duration *prometheus.HistogramVec // by step
	entries  prometheus.Histogram
}

// NewMetrics registers the metrics; Quantizers that share a registry add
// up.
func NewMetrics(reg prometheus.Registerer, namespace string) (*Metrics, error) {
	m := &Metrics{}
	var errs [5]error
	counter := func(name, help string) (prometheus.Counter, error) {
		return metric.Register(reg, prometheus.NewCounter(
			prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}))
	}
	m.requests, errs[0] = counter("quantum_cache_requests_total", "Merges looked up in the cache of merges: whole quanta, and whole questions that were found.")
	m.hits, errs[1] = counter("quantum_cache_hits_total", "Merges found in the cache of merges.")
	m.merges, errs[2] = counter("quantum_merges_total", "Calls of the merge function for questions about stored values.")
	m.duration, errs[3] = metric.Register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: "range_duration_seconds",
		Help:    "Time of each step of answering a range: reading the index, then fetching and merging.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"step"}))
	m.entries, errs[4] = metric.Register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Name: "range_entries", Help: "Entries that a range holds.",
		Buckets: prometheus.ExponentialBuckets(1, 4, 10)}))
	return m, errors.Join(errs[:]...)
}

// looked counts a look into the cache of merges.
func (m *Metrics) looked(hit bool) {
	m.requests.Inc()
	if hit {
		m.hits.Inc()
	}
}

// took notes how long a step took that began at since.
func (m *Metrics) took(step string, since time.Time) {
	m.duration.WithLabelValues(step).Observe(time.Since(since).Seconds())
}
