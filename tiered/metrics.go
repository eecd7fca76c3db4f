package tiered

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/internal/metric"
)

// What a tier is asked to do, and how it may go wrong, as metrics call it.
const (
	opGet    = "get"
	opPut    = "put"
	opDelete = "delete"
	opList   = "list"

	kindFailed  = "failed"
	kindCorrupt = "corrupt"
	kindTimeout = "timeout"

	resultStored  = "stored"
	resultExists  = "exists"
	resultFailed  = "failed"
	resultDropped = "dropped"
)

// metrics of a store. The names of the first two are Scope's.
type metrics struct {
	memoryRequests prometheus.Counter
	memoryHits     prometheus.Counter
	memoryBytes    *memoryBytes

	requests   *prometheus.CounterVec   // tier
	hits       *prometheus.CounterVec   // tier
	misses     *prometheus.CounterVec   // tier
	errors     *prometheus.CounterVec   // tier, kind
	writeBacks *prometheus.CounterVec   // tier, result
	duration   *prometheus.HistogramVec // tier, op
}

// newMetrics returns registered metrics. Stores with the same registerer and namespace share them.
func newMetrics(reg prometheus.Registerer, namespace string) (*metrics, error) {
	f := metric.Factory{Registerer: reg, Namespace: namespace}
	m := &metrics{
		memoryRequests: f.Counter("in_process_cache_requests_total", "Keys looked up in memory."),
		memoryHits:     f.Counter("in_process_cache_hits_total", "Keys found in memory."),
		memoryBytes:    metric.Registered(&f, newMemoryBytes(namespace)),
		requests:       f.Counters("tier_requests_total", "Keys that a tier was asked for.", "tier"),
		hits:           f.Counters("tier_hits_total", "Blobs that a tier found.", "tier"),
		misses:         f.Counters("tier_misses_total", "Keys that a tier did not find, without an error.", "tier"),
		errors:         f.Counters("tier_errors_total", "Operations that failed or timed out, and blobs that were corrupt.", "tier", "kind"),
		writeBacks:     f.Counters("tier_write_backs_total", "Blobs for a cache that were stored, existed, failed, or were dropped because too many waited.", "tier", "result"),
		duration: f.Histograms("tier_duration_seconds", "How long a tier's operations took.",
			prometheus.ExponentialBuckets(0.0005, 2, 15), "tier", "op"), // to 8 s
	}
	if f.Err != nil {
		return nil, fmt.Errorf("tiered: register metrics: %w", f.Err)
	}
	return m, nil
}

// memoryBytes is a gauge of what the memory of all its stores holds.
type memoryBytes struct {
	desc *prometheus.Desc

	mu     sync.Mutex
	caches map[int]func() int64
	next   int
}

func newMemoryBytes(namespace string) *memoryBytes {
	name := prometheus.BuildFQName(namespace, "", "in_process_cache_bytes")
	return &memoryBytes{
		desc:   prometheus.NewDesc(name, "Weight of the values kept in memory.", nil, nil),
		caches: make(map[int]func() int64),
	}
}

// add counts a cache in until remove is called.
func (m *memoryBytes) add(bytes func() int64) (remove func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.next
	m.next++
	m.caches[id] = bytes
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.caches, id)
	}
}

// Describe implements prometheus.Collector.
func (m *memoryBytes) Describe(descs chan<- *prometheus.Desc) { descs <- m.desc }

// Collect implements prometheus.Collector.
func (m *memoryBytes) Collect(values chan<- prometheus.Metric) {
	values <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, float64(m.sum()))
}

func (m *memoryBytes) sum() (n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, bytes := range m.caches {
		n += bytes()
	}
	return n
}

// tierMetrics are one tier's.
type tierMetrics struct {
	requests, hits, misses   prometheus.Counter
	failed, corrupt, timeout prometheus.Counter
	getSeconds, putSeconds   prometheus.Observer
	own                      *tierCounts // of this store alone
}

func (m *metrics) tier(name string) tierMetrics {
	return tierMetrics{
		requests:   m.requests.WithLabelValues(name),
		hits:       m.hits.WithLabelValues(name),
		misses:     m.misses.WithLabelValues(name),
		failed:     m.errors.WithLabelValues(name, kindFailed),
		corrupt:    m.errors.WithLabelValues(name, kindCorrupt),
		timeout:    m.errors.WithLabelValues(name, kindTimeout),
		getSeconds: m.duration.WithLabelValues(name, opGet),
		putSeconds: m.duration.WithLabelValues(name, opPut),
		own:        &tierCounts{},
	}
}

// fault counts an operation's error. That a key is taken is none, and neither
// is that the caller gave up.
func (t *tierMetrics) fault(caller context.Context, err error) {
	switch {
	case err == nil, errors.Is(err, ErrExists), caller.Err() == context.Canceled:
	case isTimeout(err):
		t.timeout.Inc()
		t.own.faults.Add(1)
	default:
		t.failed.Inc()
		t.own.faults.Add(1)
	}
}

// isTimeout recognises deadlines of contexts and of connections.
func isTimeout(err error) bool {
	late, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && late.Timeout()
}

// gets counts what a tier answered when it was asked for n keys.
func (t *tierMetrics) gets(n, found int, err error, took time.Duration) {
	t.getSeconds.Observe(took.Seconds())
	t.requests.Add(float64(n))
	t.hits.Add(float64(found))
	t.own.hits.Add(int64(found))
	if err == nil {
		t.misses.Add(float64(n - found))
		t.own.misses.Add(int64(n - found))
	}
}

// wrong counts a blob that is not what it should be.
func (t *tierMetrics) wrong() {
	t.corrupt.Inc()
	t.own.faults.Add(1)
}
