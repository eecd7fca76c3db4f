package dynamoindex

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/internal/metric"
)

// metrics of an index. The first three have Scope's names and labels: the
// method is "DynamoDB.<operation>" in the first and the operation in the
// others. The status code is the last answer's (400 also when an instant
// was taken or the table throttled), "500" when none came, and "cancel" when
// the caller gave up.
type metrics struct {
	duration *prometheus.HistogramVec // method, status_code
	capacity *prometheus.CounterVec   // method
	size     *prometheus.CounterVec   // method
	retries  *prometheus.CounterVec   // method
}

func newMetrics(reg prometheus.Registerer, namespace string) (*metrics, error) {
	f := metric.Factory{Registerer: reg, Namespace: namespace}
	m := &metrics{
		duration: f.Histograms("dynamo_request_duration_seconds", "Time of each DynamoDB request with its retries.",
			prometheus.DefBuckets, "method", "status_code"),
		capacity: f.Counters("dynamo_consumed_capacity_total", "Capacity units that DynamoDB says were consumed.", "method"),
		size:     f.Counters("dynamo_value_size_bytes_total", "Bytes of blob keys written and read.", "method"),
		retries:  f.Counters("dynamo_retries_total", "Attempts at DynamoDB requests after the first.", "method"),
	}
	return m, f.Err
}

// observe records a request: its result, its error, how many attempts it took, and how long.
func (m *metrics) observe(operation string, result any, err error, attempts int, took time.Duration) {
	m.duration.WithLabelValues("DynamoDB."+operation, statusCode(err)).Observe(took.Seconds())
	if units := consumed(result); err == nil && units > 0 {
		m.capacity.WithLabelValues(operation).Add(units)
	}
	if attempts > 1 {
		m.retries.WithLabelValues(operation).Add(float64(attempts - 1))
	}
}

func statusCode(err error) string {
	var answer interface{ HTTPStatusCode() int }
	switch {
	case err == nil:
		return "200"
	case errors.Is(err, context.Canceled):
		return "cancel"
	case errors.As(err, &answer) && answer.HTTPStatusCode() >= 300:
		return strconv.Itoa(answer.HTTPStatusCode())
	}
	return "500"
}

// consumed returns the capacity units that an operation's result reports.
func consumed(result any) float64 {
	var c *types.ConsumedCapacity
	switch r := result.(type) {
	case *dynamodb.PutItemOutput:
		c = r.ConsumedCapacity
	case *dynamodb.QueryOutput:
		c = r.ConsumedCapacity
	case *dynamodb.GetItemOutput:
		c = r.ConsumedCapacity
	case *dynamodb.DeleteItemOutput:
		c = r.ConsumedCapacity
	case *dynamodb.ScanOutput:
		c = r.ConsumedCapacity
	}
	if c == nil || c.CapacityUnits == nil {
		return 0
	}
	return *c.CapacityUnits
}
