package dynamoindex_test

import (
	"testing"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/index/indextest"
	"github.com/timeblob/timeblob/internal/servertest"
)

// BenchmarkIndex is on DynamoDB Local, which costs most of the time; the
// allocations are this package's and the SDK's.
func BenchmarkIndex(b *testing.B) {
	indextest.RunBenchmarks(b, func(b *testing.B) index.Index {
		x, _ := fresh(b, servertest.SharedDynamoDBLocal(b), nil)
		return x
	})
}
