package s3blob

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/internal/metric"
)

// metrics of a tier. The name and labels of the first are Scope's, and so are
// the methods S3.Get and S3.Put; Scope measured calls, this measures requests.
type metrics struct {
	seconds *prometheus.HistogramVec // method, status_code
}

// newMetrics returns registered metrics. Tiers with the same registerer and namespace share them.
func newMetrics(reg prometheus.Registerer, namespace string) (*metrics, error) {
	f := metric.Factory{Registerer: reg, Namespace: namespace}
	seconds := f.Histograms("s3_request_duration_seconds",
		"How long requests to S3 took, each attempt by itself. The status code may be cancel, timeout or error.",
		prometheus.DefBuckets, // Scope's
		"method", "status_code")
	if f.Err != nil {
		return nil, fmt.Errorf("s3blob: register metrics: %w", f.Err)
	}
	return &metrics{seconds}, nil
}

// methods are Scope's names of operations.
var methods = map[string]string{"GetObject": "S3.Get", "PutObject": "S3.Put", "HeadObject": "S3.Head"}

// method is what metrics call an operation of the SDK.
func method(operation string) string {
	if name, ok := methods[operation]; ok {
		return name
	}
	return "S3." + operation
}

// observe counts a request that took so many seconds.
func (m *metrics) observe(ctx context.Context, method string, err error, seconds float64) {
	m.seconds.WithLabelValues(method, outcome(ctx, err)).Observe(seconds)
}

// errNoAnswer says that an attempt's time was up. It is no context's error:
// the SDK would not retry that.
var errNoAnswer = errors.New("no complete answer")

// outcome is the status that S3 answered with, or else what happened.
func outcome(ctx context.Context, err error) string {
	code := status(err)
	switch {
	case err == nil:
		return "200"
	case ctx.Err() != nil:
		return "cancel"
	case errors.Is(err, errNoAnswer):
		return "timeout"
	case code >= 300:
		return strconv.Itoa(code)
	}
	return "error"
}

// status is the HTTP status of an error that S3 answered with, or 0.
func status(err error) int {
	type response interface {
		error
		HTTPStatusCode() int
	}
	if answered, ok := errors.AsType[response](err); ok {
		return answered.HTTPStatusCode()
	}
	return 0
}

// since is how long ago begin was, in seconds.
func since(now func() time.Time, begin time.Time) float64 { return now().Sub(begin).Seconds() }
