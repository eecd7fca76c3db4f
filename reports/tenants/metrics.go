package tenants

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/internal/metric"
)

// fileMetrics show whether the file's present version is in force.
type fileMetrics struct {
	taken, refused prometheus.Counter
	good           prometheus.Gauge
}

func newFileMetrics(reg prometheus.Registerer, namespace string) (*fileMetrics, error) {
	f := metric.Factory{Registerer: reg, Namespace: namespace}
	reads := f.Counters("tenants_file_reads_total", "New versions of the tenants file, by whether they were taken.", "result")
	good := f.Gauge("tenants_file_good", "1 while what the tenants file says is in force, 0 while it is broken or gone.")
	if f.Err != nil {
		return nil, f.Err
	}
	return &fileMetrics{taken: reads.WithLabelValues("taken"), refused: reads.WithLabelValues("refused"), good: good}, nil
}
