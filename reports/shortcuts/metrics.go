package shortcuts

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/internal/metric"
)

// Results of sending a shortcut to other services and of receiving one.
const (
	resultCarried     = "carried"      // the report and its key
	resultSignal      = "signal"       // the key alone: there is no cache, or the report is too large for it
	resultDropped     = "dropped"      // too many were waiting
	resultCacheFailed = "cache_failed" // the key alone: the cache failed
	resultBusFailed   = "bus_failed"   // sending only: the bus failed
	resultKnown       = "known"        // receiving only, like those below: the key was known already
	resultForeign     = "foreign"      // the message is not a key of the tenant
	resultAbsent      = "absent"       // the cache does not hold the blob
	resultRefused     = "refused"      // the blob is not a shortcut report
	resultLost        = "lost"         // there was no room to keep it
)

// metrics counts what a hub does.
type metrics struct {
	lost            prometheus.Counter
	sends, messages *prometheus.CounterVec // by result
}

func newMetrics(reg prometheus.Registerer, namespace string) (*metrics, error) {
	f := metric.Factory{Registerer: reg, Namespace: namespace}
	m := &metrics{
		lost: f.Counter("shortcut_reports_lost_total",
			"Shortcut reports that were signalled but not kept, because they were too large or too many."),
		sends:    f.Counters("shortcut_sends_total", "Shortcut reports for other services, by result.", "result"),
		messages: f.Counters("shortcut_messages_total", "Messages about shortcut reports, by result.", "result"),
	}
	for _, result := range []string{resultCarried, resultSignal, resultDropped, resultCacheFailed, resultBusFailed} {
		m.sends.WithLabelValues(result)
	}
	for _, result := range []string{resultCarried, resultSignal, resultDropped, resultCacheFailed, resultKnown,
		resultForeign, resultAbsent, resultRefused, resultLost} {
		m.messages.WithLabelValues(result)
	}
	return m, f.Err
}

func (m *metrics) sent(result string) { m.sends.WithLabelValues(result).Inc() }

func (m *metrics) received(result string) { m.messages.WithLabelValues(result).Inc() }
