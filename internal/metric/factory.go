package metric

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Factory makes metrics of one namespace and registers them, so that several instances share them.
// After the last one, Err tells whether any could not be registered. A nil
// Registerer makes metrics that nobody collects.
type Factory struct {
	Registerer prometheus.Registerer
	Namespace  string
	Err        error // the joined errors of all registrations
}

// Registered returns a collector of the caller's own kind, or its twin that was
// registered before. It notes an error in f.
func Registered[C prometheus.Collector](f *Factory, c C) C {
	c, err := register(f.Registerer, c)
	f.Err = errors.Join(f.Err, err)
	return c
}

// Counter returns a counter.
func (f *Factory) Counter(name, help string) prometheus.Counter {
	return Registered(f, prometheus.NewCounter(prometheus.CounterOpts{Namespace: f.Namespace, Name: name, Help: help}))
}

// Counters returns a counter for each combination of label values.
func (f *Factory) Counters(name, help string, labels ...string) *prometheus.CounterVec {
	return Registered(f, prometheus.NewCounterVec(
		prometheus.CounterOpts{Namespace: f.Namespace, Name: name, Help: help}, labels))
}

// Gauge returns a gauge.
func (f *Factory) Gauge(name, help string) prometheus.Gauge {
	return Registered(f, prometheus.NewGauge(prometheus.GaugeOpts{Namespace: f.Namespace, Name: name, Help: help}))
}

// Gauges returns a gauge for each combination of label values.
func (f *Factory) Gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return Registered(f, prometheus.NewGaugeVec(
		prometheus.GaugeOpts{Namespace: f.Namespace, Name: name, Help: help}, labels))
}

// Histogram returns a histogram with the upper bounds of its buckets.
func (f *Factory) Histogram(name, help string, buckets []float64) prometheus.Histogram {
	return Registered(f, prometheus.NewHistogram(
		prometheus.HistogramOpts{Namespace: f.Namespace, Name: name, Help: help, Buckets: buckets}))
}

// Histograms returns a histogram for each combination of label values.
func (f *Factory) Histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return Registered(f, prometheus.NewHistogramVec(
		prometheus.HistogramOpts{Namespace: f.Namespace, Name: name, Help: help, Buckets: buckets}, labels))
}
