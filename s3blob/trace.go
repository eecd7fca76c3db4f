package s3blob

import (
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/timeblob/timeblob/internal/tracing"
)

// spans are S3's operations, each attempt by itself.
const spans = tracing.Scope("s3blob")

// endSpan ends the span of a request. That a key is taken, or has no object, is
// an answer and no failure.
func (a *attempt) endSpan(s tracing.Span, result any, err error) {
	s.Text("rpc.system.name", "aws-api")
	s.Text("rpc.method", "S3/"+a.name)
	s.Text("aws.s3.bucket", a.bucket)
	if a.sent > 0 {
		s.Int("http.request.resend_count", a.sent)
	}
	a.sent++
	if object, ok := result.(*s3.GetObjectOutput); ok && err == nil {
		if whole, ok := object.Body.(*wholeBody); ok {
			s.Int(tracing.Bytes, len(whole.blob))
		}
	}
	if err == nil {
		s.Int("http.response.status_code", http.StatusOK)
	} else if code := status(err); code > 0 {
		s.Int("http.response.status_code", code)
	}
	if isAnswer(err) {
		err = nil
	}
	s.End(err)
}

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
