package metric

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Factory makes metrics of one namespace and registers them with Register.
// After the last one, Err tells whether any could not be registered. A nil
// Registerer makes metrics that nobody collects.
type Factory struct {
	Registerer prometheus.Registerer
	Namespace  string
	Err        error // the joined errors of all registrations
}

// registered registers c and notes an error in f.
func registered[C prometheus.Collector](f *Factory, c C) C {
	c, err := Register(f.Registerer, c)
	f.Err = errors.Join(f.Err, err)
	return c
}

// Counter returns a counter.
func (f *Factory) Counter(name, help string) prometheus.Counter {
	return registered(f, prometheus.NewCounter(prometheus.CounterOpts{Namespace: f.Namespace, Name: name, Help: help}))
}

// Counters returns a counter for each combination of label values.
func (f *Factory) Counters(name, help string, labels ...string) *prometheus.CounterVec {
	return registered(f, prometheus.NewCounterVec(
		prometheus.CounterOpts{Namespace: f.Namespace, Name: name, Help: help}, labels))
}

// Gauge returns a gauge.
func (f *Factory) Gauge(name, help string) prometheus.Gauge {
	return registered(f, prometheus.NewGauge(prometheus.GaugeOpts{Namespace: f.Namespace, Name: name, Help: help}))
}

// Histogram returns a histogram with the upper bounds of its buckets.
func (f *Factory) Histogram(name, help string, buckets []float64) prometheus.Histogram {
	return registered(f, prometheus.NewHistogram(
		prometheus.HistogramOpts{Namespace: f.Namespace, Name: name, Help: help, Buckets: buckets}))
}

// Histograms returns a histogram for each combination of label values.
func (f *Factory) Histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return registered(f, prometheus.NewHistogramVec(
		prometheus.HistogramOpts{Namespace: f.Namespace, Name: name, Help: help, Buckets: buckets}, labels))
}
