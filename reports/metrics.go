package reports

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/metric"
	"github.com/timeblob/timeblob/reports/report"
)

// maxTenantSeries bounds the tenants with their own metrics. The others are
// counted together as otherTenants, which is not a valid tenant id.
const (
	maxTenantSeries = 10_000
	otherTenants    = "*"
)

// metrics counts what a Collector receives and stores. Names, labels and buckets
// are Scope's where Scope has the same metric. The label user is the tenant's id.
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

// series is the counters of a tenant.
type series struct {
	received, receivedBytes, shortcuts, stored, storedBytes prometheus.Counter

	dropped, refused map[string]bool // topologies, reasons
	heard            time.Time       // when anything was counted last
	sent             time.Time       // when the last report arrived; zero when none did
}

func newMetrics(reg prometheus.Registerer, namespace string, idle time.Duration, now func() time.Time) (*metrics, error) {
	m := &metrics{idle: idle, now: now, tenants: make(map[string]*series)}
	f := metric.Factory{Registerer: reg, Namespace: namespace}
	sizes := prometheus.ExponentialBuckets(4096, 2, 10)
	m.receivedSize = f.Histogram("report_received_size_bytes", "Sizes of the reports received, as they were received, compressed.", sizes)
	m.storedSize = f.Histogram("report_size_bytes", "Sizes of the merged reports stored, compressed.", sizes)
	m.conflicts = f.Counter("node_conflicts_total",
		"Nodes whose copies name different topologies, counted in each merge.")
	m.received = f.Counters("reports_received_total", "Reports received.", "user")
	m.receivedBytes = f.Counters("reports_received_bytes_total", "Bytes of the reports received, compressed.", "user")
	m.shortcuts = f.Counters("shortcut_reports_received_total", "Shortcut reports received.", "user")
	m.stored = f.Counters("reports_stored_total", "Merged reports stored.", "user")
	m.storedBytes = f.Counters("reports_bytes_total", "Bytes of the merged reports stored, compressed.", "user")
	m.dropped = f.Counters("topologies_dropped_total", "Topologies dropped for having too many nodes.", "user", "topology")
	m.refused = f.Counters("reports_refused_total", "Posted reports refused, by reason; rate and pending are the tenant's own limits.", "user", "reason")
	return m, f.Err
}

// countReceived counts a report that was received.
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

// countRefused counts a posted report that was refused. It ignores an empty
// reason.
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

// countStored returns the function to call with each entry that was stored. It
// counts the entry, and calls next unless next is nil.
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

// merge is report.Merge. It counts conflicts.
func (m *metrics) merge(parts []*report.Report) (*report.Report, error) {
	r, stats, err := report.MergeWithStats(parts)
	m.conflicts.Add(float64(stats.Conflicts))
	return r, err
}

// of returns a tenant's series and its user label, and notes that the tenant was
// heard of. The mutex is held.
func (m *metrics) of(tenant string) (s *series, user string) {
	user = tenant
	s = m.tenants[user]
	if s == nil && len(m.tenants) >= maxTenantSeries {
		user = otherTenants
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

// forgetIdle removes the series of tenants that sent nothing lately.
func (m *metrics) forgetIdle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for user, s := range m.tenants {
		if m.now().Sub(s.heard) >= m.idle {
			m.forget(user, s)
		}
	}
	if len(m.tenants) == 0 {
		m.tenants = make(map[string]*series) // releases the memory of a map that was large
	}
}

// forget removes the series of a tenant. The mutex is held.
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

// lastHeard returns when the last report of each tenant with its own metrics
// arrived. The caller may change the map.
func (m *metrics) lastHeard() map[string]time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	heard := make(map[string]time.Time, len(m.tenants))
	for user, s := range m.tenants {
		if user != otherTenants {
			heard[user] = s.sent
		}
	}
	return heard
}

// counts reads a tenant's counters.
func (m *metrics) counts(tenant string) Counts {
	m.mu.Lock() // also while the counters are read: a report is then in all of them or in none
	defer m.mu.Unlock()
	s := m.tenants[tenant]
	if s == nil {
		return Counts{}
	}
	return Counts{Received: countOf(s.received), ReceivedBytes: countOf(s.receivedBytes),
		Stored: countOf(s.stored), StoredBytes: countOf(s.storedBytes)}
}

// Counts are totals of a tenant. They begin with its first report, and begin
// again after it was silent for Options.TenantIdle.
type Counts struct {
	Received, ReceivedBytes, Stored, StoredBytes int64
}

// countOf reads a counter. It returns 0 if the counter cannot be read.
func countOf(c prometheus.Counter) int64 {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		return 0
	}
	return int64(m.GetCounter().GetValue())
}
