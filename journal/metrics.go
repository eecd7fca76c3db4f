package journal

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/internal/metric"
)

// metrics are what an operator watches of a journal. Journals that share a
// registry add up.
type metrics struct {
	bytes, limit, records           prometheus.Gauge
	damage, faults, refused, copied prometheus.Counter
	sync                            prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, namespace string) (*metrics, error) {
	f := metric.Factory{Registerer: reg, Namespace: namespace}
	m := &metrics{
		bytes:   f.Gauge("journal_bytes", "Bytes of the journal's files."),
		limit:   f.Gauge("journal_limit_bytes", "Bytes of the journal's files from which on records are refused."),
		records: f.Gauge("journal_records", "Records in the journal that are not done: their values are not in the index yet."),
		damage:  f.Counter("journal_damage_total", "Stretches of the journal that could not be read. The collector logs each one."),
		faults:  f.Counter("journal_faults_total", "Calls of the operating system that failed for the journal."),
		refused: f.Counter("journal_refused_total", "Records refused because the journal was full."),
		copied:  f.Counter("journal_copied_bytes_total", "Bytes moved to the end of the journal, so that the files that held them could be removed."),
		sync: f.Histogram("journal_sync_duration_seconds", "Time to force the journal's last records to the disk.",
			prometheus.ExponentialBuckets(0.0001, 2.5, 12)),
	}
	return m, f.Err
}

// fault counts an error and returns it.
func (m *metrics) fault(err error) error {
	if err != nil {
		m.faults.Inc()
	}
	return err
}
