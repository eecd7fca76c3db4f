package plan

import (
	"sync/atomic"
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
	unread   prometheus.Counter
}

// NewMetrics registers the metrics; Quantizers that share a registry add
// up.
func NewMetrics(reg prometheus.Registerer, namespace string) (*Metrics, error) {
	f := metric.Factory{Registerer: reg, Namespace: namespace}
	return &Metrics{
		requests: f.Counter("quantum_cache_requests_total", "Merges looked up in the cache of merges: whole quanta, and whole questions that were found."),
		hits:     f.Counter("quantum_cache_hits_total", "Merges found in the cache of merges."),
		merges:   f.Counter("quantum_merges_total", "Calls of the merge function for questions about stored values."),
		duration: f.Histograms("range_duration_seconds", "Time of each step of answering a range: reading the index, then fetching and merging.",
			[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}, "step"),
		unread:  f.Counter("rollups_unreadable_total", "Roll-ups that a question found missing or undecodable; it was answered from what lies below."),
		entries: f.Histogram("range_entries", "Entries that a range holds.", prometheus.ExponentialBuckets(1, 4, 10)),
	}, f.Err
}

// Stats count what one Past has done.
type Stats struct {
	Entries int64 // read from the index
	Blobs   int64 // asked of the blob store
	Merges  int64 // calls of the merge function
	Looked  int64 // merges looked up in the cache of merges
	Found   int64 // merges found there
}

// counts are the counters behind Stats.
type counts struct{ entries, blobs, merges, looked, found atomic.Int64 }

// took notes how long a step took that began at since.
func (m *Metrics) took(step string, since time.Time) {
	m.duration.WithLabelValues(step).Observe(time.Since(since).Seconds())
}
