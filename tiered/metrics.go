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

// metrics of a store.
type metrics struct {
	memory *memoryMetrics

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
		memory:     metric.Registered(&f, newMemoryMetrics(namespace)),
		requests:   f.Counters("tier_requests_total", "Keys that a tier was asked for.", "tier"),
		hits:       f.Counters("tier_hits_total", "Blobs that a tier found.", "tier"),
		misses:     f.Counters("tier_misses_total", "Keys that a tier did not find, without an error.", "tier"),
		errors:     f.Counters("tier_errors_total", "Operations that failed or timed out, and blobs that were corrupt.", "tier", "kind"),
		writeBacks: f.Counters("tier_write_backs_total", "Blobs for a cache that were stored, existed, failed, or were dropped because too many waited.", "tier", "result"),
		duration: f.Histograms("tier_duration_seconds", "How long a tier's operations took.",
			prometheus.ExponentialBuckets(0.0005, 2, 15), "tier", "op"), // to 8 s
	}
	if f.Err != nil {
		return nil, fmt.Errorf("tiered: register metrics: %w", f.Err)
	}
	return m, nil
}

// memoryUse is what one store's memory holds, and how often it was asked.
type memoryUse struct {
	bytes         int64
	lookups, hits uint64
}

// memoryMetrics are what the memory of all its stores holds, and how often it was
// asked. They ask the stores when they are collected, so that a hit costs them
// nothing. The names of the counters are Scope's.
type memoryMetrics struct {
	bytes, lookups, hits *prometheus.Desc

	mu     sync.Mutex
	stores map[int]func() memoryUse
	next   int
	closed memoryUse // of the stores that are gone
}

func newMemoryMetrics(namespace string) *memoryMetrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, nil, nil)
	}
	return &memoryMetrics{
		bytes:   desc("in_process_cache_bytes", "Weight of the values kept in memory."),
		lookups: desc("in_process_cache_requests_total", "Keys looked up in memory."),
		hits:    desc("in_process_cache_hits_total", "Keys found in memory."),
		stores:  make(map[int]func() memoryUse),
	}
}

// add counts a store in. Once remove was called, its bytes are gone and its counts stay.
func (m *memoryMetrics) add(use func() memoryUse) (remove func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := m.next
	m.next++
	m.stores[id] = use
	return func() { m.remove(id) }
}

func (m *memoryMetrics) remove(id int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if use := m.stores[id]; use != nil {
		last := use()
		m.closed.lookups += last.lookups
		m.closed.hits += last.hits
		delete(m.stores, id)
	}
}

// Describe implements prometheus.Collector.
func (m *memoryMetrics) Describe(descs chan<- *prometheus.Desc) {
	descs <- m.bytes
	descs <- m.lookups
	descs <- m.hits
}

// Collect implements prometheus.Collector.
func (m *memoryMetrics) Collect(values chan<- prometheus.Metric) {
	sum := m.sum()
	values <- prometheus.MustNewConstMetric(m.bytes, prometheus.GaugeValue, float64(sum.bytes))
	values <- prometheus.MustNewConstMetric(m.lookups, prometheus.CounterValue, float64(sum.lookups))
	values <- prometheus.MustNewConstMetric(m.hits, prometheus.CounterValue, float64(sum.hits))
}

func (m *memoryMetrics) sum() memoryUse {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := m.closed
	for _, use := range m.stores {
		u := use()
		sum.bytes += u.bytes
		sum.lookups += u.lookups
		sum.hits += u.hits
	}
	return sum
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
