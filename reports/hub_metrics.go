package reports

import "github.com/prometheus/client_golang/prometheus"

// What becomes of shortcuts between services.
const (
	resultCarried     = "carried"      // report and key
	resultSignal      = "signal"       // a key alone: without a cache, or too large for it
	resultDropped     = "dropped"      // too many waited
	resultCacheFailed = "cache_failed" // the key alone: the cache failed
	resultBusFailed   = "bus_failed"   // sent only: others were not told
	resultKnown       = "known"        // heard only, as the rest: this service knew it
	resultForeign     = "foreign"      // no key of the tenant's
	resultAbsent      = "absent"       // the cache did not have it
	resultRefused     = "refused"      // no report, or no shortcut
	resultLost        = "lost"         // no room to hold it
)

// hubMetrics count what a hub does.
type hubMetrics struct {
	lost         prometheus.Counter
	sends, hears *prometheus.CounterVec // by result
}

func newHubMetrics(reg prometheus.Registerer, namespace string) (*hubMetrics, error) {
	f := factory{reg: reg, namespace: namespace}
	m := &hubMetrics{
		lost: f.counter("shortcut_reports_lost_total",
			"Shortcut reports that were signalled but too large, or too many, to be shown."),
		sends: f.counters("shortcut_sends_total", "Shortcut reports to be told to other services, by what became of them.", "result"),
		hears: f.counters("shortcut_messages_total", "Messages about shortcut reports, by what became of them.", "result"),
	}
	for _, result := range []string{resultCarried, resultSignal, resultDropped, resultCacheFailed, resultBusFailed} {
		m.sends.WithLabelValues(result)
	}
	for _, result := range []string{resultCarried, resultSignal, resultDropped, resultCacheFailed, resultKnown,
		resultForeign, resultAbsent, resultRefused, resultLost} {
		m.hears.WithLabelValues(result)
	}
	return m, f.err
}

func (m *hubMetrics) sent(result string) { m.sends.WithLabelValues(result).Inc() }

func (m *hubMetrics) heard(result string) { m.hears.WithLabelValues(result).Inc() }
