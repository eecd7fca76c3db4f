package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/internal/metric"
)

// metrics watches requests. Names and labels are Scope's.
type metrics struct {
	duration *prometheus.HistogramVec
	panics   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, namespace string) (*metrics, error) {
	f := metric.Factory{Registerer: reg, Namespace: namespace}
	m := &metrics{
		panics: f.Counter("request_panics_total", "Requests whose handler panicked."),
		duration: f.Histograms("request_duration_seconds", "Time of HTTP requests, in seconds.", prometheus.DefBuckets,
			"method", "route", "status_code", "ws"),
	}
	return m, f.Err
}

// observe counts a request.
func (m *metrics) observe(method, route string, rec *recorder, begun time.Time) {
	m.duration.WithLabelValues(methodLabel(method), route, strconv.Itoa(rec.code()), "false").
		Observe(time.Since(begun).Seconds())
}

// methodLabel bounds the label values: clients may send any word as a method.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return "other"
}

// recorder records an answer.
type recorder struct {
	http.ResponseWriter
	status int    // 0: nothing was written yet
	bytes  int64  // of the body
	why    string // why the request failed
	broken bool   // the request failed after the answer had begun
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController find the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// code returns the status that the client sees.
func (w *recorder) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}
