package dynamoindex

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/timeblob/timeblob/internal/tracing"
)

// spans are DynamoDB's operations, each with all its attempts.
const spans = tracing.Scope("dynamoindex")

// endSpan ends the span of a request. That an instant was taken, or the marker
// replaced, is an answer and no failure.
func (w *watch) endSpan(s tracing.Span, operation string, result any, err error, attempts int) {
	s.Text("db.system.name", "aws.dynamodb")
	s.Text("db.collection.name", w.table)
	s.Text("db.operation.name", operation)
	s.Int("timeblob.attempts", attempts)
	if page, ok := result.(*dynamodb.QueryOutput); ok && err == nil {
		s.Int("db.response.returned_rows", len(page.Items))
	}
	if _, taken := errors.AsType[*types.ConditionalCheckFailedException](err); taken {
		err = nil
	}
	s.End(err)
}
