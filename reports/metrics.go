package reports

import (
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/metric"
	"github.com/timeblob/timeblob/reports/report"
)

// maxTenantSeries bounds the tenants with metrics of their own. The others
// count under crowd, which is no tenant's id.
const (
	maxTenantSeries = 10_000
	crowd           = "*"
)

// metrics count what a Collector takes and stores. Names, labels and buckets
// are Scope's where it has the same. The user label is the tenant's id.
type metrics struct {
	idle time.Duration
	now  func() time.Time

	receivedSize, storedSize prometheus.Histogram
	conflicts                prometheus.Counter
	received, receivedBytes  *prometheus.CounterVec // by user
	shortcuts                *prometheus.CounterVec // by user
	stored, storedBytes      *prometheus.CounterVec // by user
	dropped                  *prometheus.CounterVec // by user and topology
	refused                  *prometheus.CounterVec // by user and reason

	mu      sync.Mutex // guards tenants and the series of the vectors
	tenants map[string]*series
}

// series is what a tenant has in the vectors.
type series struct {
	received, receivedBytes, shortcuts, stored, storedBytes prometheus.Counter

	dropped, refused map[string]bool // topologies, reasons
	heard            time.Time       // when anything was counted last
	sent             time.Time       // when a report came last; zero when none did
}

func newMetrics(reg prometheus.Registerer, namespace string, idle time.Duration, now func() time.Time) (*metrics, error) {
	m := &metrics{idle: idle, now: now, tenants: make(map[string]*series)}
	f := factory{reg: reg, namespace: namespace}
	m.receivedSize = f.sizes("report_received_size_bytes", "Sizes of the reports received, as they came, compressed.")
	m.storedSize = f.sizes("report_size_bytes", "Sizes of the merged reports stored, compressed.")
	m.conflicts = f.counter("node_conflicts_total",
		"Nodes that copies disagree about the topology of, counted in each merge that meets them.")
	m.received = f.counters("reports_received_total", "Reports received.", "user")
	m.receivedBytes = f.counters("reports_received_bytes_total", "Bytes of the reports received, compressed.", "user")
	m.shortcuts = f.counters("shortcut_reports_received_total", "Shortcut reports received.", "user")
	m.stored = f.counters("reports_stored_total", "Merged reports stored.", "user")
	m.storedBytes = f.counters("reports_bytes_total", "Bytes of the merged reports stored, compressed.", "user")
	m.dropped = f.counters("topologies_dropped_total", "Topologies dropped for having too many nodes.", "user", "topology")
	m.refused = f.counters("reports_refused_total", "Posted reports refused, by reason: rate and pending are the tenant's own limits.", "user", "reason")
	return m, f.err
}

// factory makes metrics and registers them; err is what went wrong.
type factory struct {
	reg       prometheus.Registerer
	namespace string
	err       error
}

func registered[C prometheus.Collector](f *factory, c C) C {
	c, err := metric.Register(f.reg, c)
	f.err = errors.Join(f.err, err)
	return c
}

func (f *factory) counter(name, help string) prometheus.Counter {
	return registered(f, prometheus.NewCounter(prometheus.CounterOpts{Namespace: f.namespace, Name: name, Help: help}))
}

func (f *factory) counters(name, help string, labels ...string) *prometheus.CounterVec {
	return registered(f, prometheus.NewCounterVec(
		prometheus.CounterOpts{Namespace: f.namespace, Name: name, Help: help}, labels))
}

func (f *factory) sizes(name, help string) prometheus.Histogram {
	return registered(f, prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: f.namespace, Name: name, Help: help,
		Buckets: prometheus.ExponentialBuckets(4096, 2, 10)}))
}

// countReceived counts a report that came in.
func (m *metrics) countReceived(tenant string, size int, shortcut bool) {
	m.receivedSize.Observe(float64(size))
	m.mu.Lock()
	defer m.mu.Unlock()
	s, _ := m.of(tenant)
	s.sent = s.heard
	s.received.Inc()
	s.receivedBytes.Add(float64(size))
	if shortcut {
		s.shortcuts.Inc()
	}
}

// countDropped counts topologies that were dropped from a report.
func (m *metrics) countDropped(tenant string, topologies []string) {
	if len(topologies) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, user := m.of(tenant)
	for _, topology := range topologies {
		s.dropped[topology] = true
		m.dropped.WithLabelValues(user, topology).Inc()
	}
}

// countRefused counts a report that was posted and refused for a reason; none
// for an empty one.
func (m *metrics) countRefused(tenant, reason string) {
	if reason == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, user := m.of(tenant)
	s.refused[reason] = true
	m.refused.WithLabelValues(user, reason).Inc()
}

// countStored returns the function to call with what became discoverable. It
// counts, and calls next unless that is nil.
func (m *metrics) countStored(next func(string, index.Entry, int)) func(string, index.Entry, int) {
	return func(tenant string, e index.Entry, size int) {
		m.storedSize.Observe(float64(size))
		m.mu.Lock()
		s, _ := m.of(tenant)
		s.stored.Inc()
		s.storedBytes.Add(float64(size))
		m.mu.Unlock()
		if next != nil {
			next(tenant, e, size)
		}
	}
}

// merge is report.Merge, and counts conflicts.
func (m *metrics) merge(parts []*report.Report) (*report.Report, error) {
	r, stats, err := report.MergeWithStats(parts)
	m.conflicts.Add(float64(stats.Conflicts))
	return r, err
}

// of returns a tenant's series, heard of now, and its user label. The mutex is
// held.
func (m *metrics) of(tenant string) (s *series, user string) {
	user = tenant
	s = m.tenants[user]
	if s == nil && len(m.tenants) >= maxTenantSeries {
		user = crowd
		s = m.tenants[user]
	}
	if s == nil {
		s = &series{dropped: make(map[string]bool), refused: make(map[string]bool),
			received: m.received.WithLabelValues(user), receivedBytes: m.receivedBytes.WithLabelValues(user),
			shortcuts: m.shortcuts.WithLabelValues(user),
			stored:    m.stored.WithLabelValues(user), storedBytes: m.storedBytes.WithLabelValues(user)}
		m.tenants[user] = s
	}
	s.heard = m.now()
	return s, user
}

// forgetIdle removes the series of tenants that were not heard of lately.
func (m *metrics) forgetIdle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for user, s := range m.tenants {
		if m.now().Sub(s.heard) >= m.idle {
			m.forget(user, s)
		}
	}
	if len(m.tenants) == 0 {
		m.tenants = make(map[string]*series) // gives back the room that many took
	}
}

func (m *metrics) forget(user string, s *series) {
	delete(m.tenants, user)
	for _, v := range []*prometheus.CounterVec{m.received, m.receivedBytes, m.shortcuts, m.stored, m.storedBytes} {
		v.DeleteLabelValues(user)
	}
	for topology := range s.dropped {
		m.dropped.DeleteLabelValues(user, topology)
	}
	for reason := range s.refused {
		m.refused.DeleteLabelValues(user, reason)
	}
}
