package tenants

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/internal/metric"
)

// fileMetrics show whether the file's present version is in force.
type fileMetrics struct {
	taken, refused prometheus.Counter
	good           prometheus.Gauge
}

func newFileMetrics(reg prometheus.Registerer, namespace string) (*fileMetrics, error) {
	reads, err := metric.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace,
		Name: "tenants_file_reads_total", Help: "New versions of the tenants file, by whether they were taken."}, []string{"result"}))
	good, goodErr := metric.Register(reg, prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace,
		Name: "tenants_file_good", Help: "1 while what the tenants file says is in force, 0 while it is broken or gone."}))
	if err := errors.Join(err, goodErr); err != nil {
		return nil, err
	}
	return &fileMetrics{taken: reads.WithLabelValues("taken"), refused: reads.WithLabelValues("refused"), good: good}, nil
}
