package s3blob

import (
	"errors"
	"net/http"

	"github.com/aws/smithy-go"

	"github.com/timeblob/timeblob/internal/tracing"
)

// spans are S3's operations, each attempt by itself.
const spans = tracing.Scope("s3blob")

// isAnswer tells whether an error says only that a key is taken or has no
// object.
func isAnswer(err error) bool {
	switch refusal, _ := errors.AsType[smithy.APIError](err); {
	case status(err) == http.StatusPreconditionFailed:
		return true
	case refusal != nil:
		return refusal.ErrorCode() == "NoSuchKey" || refusal.ErrorCode() == "NotFound" // the latter to a HEAD
	}
	return false
}
