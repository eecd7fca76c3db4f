package journal

import (
	"errors"

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
	var errs []error
	gauge := func(name, help string) prometheus.Gauge {
		g, err := metric.Register(reg, prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}))
		errs = append(errs, err)
		return g
	}
	counter := func(name, help string) prometheus.Counter {
		c, err := metric.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}))
		errs = append(errs, err)
		return c
	}
	m := &metrics{
		bytes:   gauge("journal_bytes", "Bytes of the journal's files."),
		limit:   gauge("journal_limit_bytes", "Bytes of the journal's files from which on records are refused."),
		records: gauge("journal_records", "Records in the journal that are not done: their values are not in the index yet."),
		damage:  counter("journal_damage_total", "Stretches of the journal that could not be read. The collector logs each one."),
		faults:  counter("journal_faults_total", "Calls of the operating system that failed for the journal."),
		refused: counter("journal_refused_total", "Records refused because the journal was full."),
		copied:  counter("journal_copied_bytes_total", "Bytes moved to the end of the journal, so that the files that held them could be removed."),
	}
	var err error
	m.sync, err = metric.Register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Name: "journal_sync_duration_seconds",
		Help:    "Time to force the journal's last records to the disk.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 12)}))
	return m, errors.Join(append(errs, err)...)
}

// fault counts an error and returns it.
func (m *metrics) fault(err error) error {
	if err != nil {
		m.faults.Inc()
	}
	return err
}
