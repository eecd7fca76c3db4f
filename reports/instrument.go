package reports

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// requestMetrics watch a Handler. Names and labels are Scope's.
type requestMetrics struct {
	duration *prometheus.HistogramVec
	panics   prometheus.Counter
}

func newRequestMetrics(reg prometheus.Registerer, namespace string) (*requestMetrics, error) {
	f := factory{reg: reg, namespace: namespace}
	m := &requestMetrics{
		panics: f.counter("request_panics_total", "Requests of which the handler panicked."),
		duration: registered(&f, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "request_duration_seconds",
			Help: "Time of HTTP requests, in seconds.", Buckets: prometheus.DefBuckets,
		}, []string{"method", "route", "status_code", "ws"})),
	}
	return m, f.err
}

// observe notes how a request went.
func (m *requestMetrics) observe(method, route string, rec *recorder, begun time.Time) {
	m.duration.WithLabelValues(methodLabel(method), route, strconv.Itoa(rec.code()), "false").
		Observe(time.Since(begun).Seconds())
}

// methodLabel bounds the methods: clients may send any word.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return "other"
}

// recorder remembers what became of an answer.
type recorder struct {
	http.ResponseWriter
	status int    // 0: nothing was written yet
	bytes  int64  // of its body
	why    string // of an answer that is not what was asked for
	broken bool   // it was broken off, since it had begun
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
