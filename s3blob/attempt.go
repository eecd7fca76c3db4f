package s3blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"

	"github.com/timeblob/timeblob/internal/tracing"
)

// attempt is middleware around each single request, inside of the SDK's
// retries. It sets the deadline and reads the body under it, so that a body
// that stalls, breaks off or fails its checksum is tried again like any other
// failure, which the SDK by itself does for headers only. And it measures.
type attempt struct {
	name    string // of the operation, as the SDK says it
	bucket  string
	sent    int // requests before; they follow each other
	method  string
	timeout time.Duration
	limit   int64 // bytes of a body
	now     func() time.Time
	metrics *metrics
}

// ID names the middleware in the SDK's stack.
func (a *attempt) ID() string { return "timeblob:attempt" }

// HandleFinalize sends one request.
func (a *attempt) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	out middleware.FinalizeOutput, metadata middleware.Metadata, err error,
) {
	begin := a.now()
	ctx, sending := spans.Client(ctx, a.name)
	within, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	out, metadata, err = next.HandleFinalize(within, in)
	if object, ok := out.Result.(*s3.GetObjectOutput); ok && err == nil {
		err = a.readBody(object)
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		err = &lasting{err} // a retry would have no time left, but cost tokens
	case within.Err() != nil:
		err = &passing{fmt.Errorf("%w within %v", errNoAnswer, a.timeout)}
	}
	a.metrics.observe(ctx, a.method, err, since(a.now, begin))
	a.endSpan(sending, out.Result, err)
	return out, metadata, err
}

// readBody replaces the body by one that is in memory.
func (a *attempt) readBody(object *s3.GetObjectOutput) error {
	defer object.Body.Close()
	length := int64(-1) // not known
	if object.ContentLength != nil {
		length = aws.ToInt64(object.ContentLength)
	}
	if length > a.limit {
		return fmt.Errorf("an object of %d bytes: %w", length, ErrTooLarge)
	}
	if aws.ToString(object.ETag) == "" {
		return &passing{errNoETag}
	}
	var blob bytes.Buffer
	blob.Grow(int(max(length, 0)) + bytes.MinRead) // with room to meet the end, where the checksum is compared
	n, err := blob.ReadFrom(io.LimitReader(object.Body, a.limit+1))
	switch {
	case err != nil:
		return &passing{fmt.Errorf("after %d bytes of the body: %w", n, err)}
	case n > a.limit:
		return fmt.Errorf("an object of more than %d bytes: %w", a.limit, ErrTooLarge)
	case length >= 0 && n != length:
		return &passing{fmt.Errorf("%d bytes instead of %d", n, length)}
	}
	object.Body = &wholeBody{blob: blob.Bytes()}
	return nil
}

// errNoETag says that an answer with status 200 is not one of S3 about an object. A
// server or proxy that answers so may have stored nothing, and its bytes are no object.
var errNoETag = errors.New("the answer has status 200 and no ETag, so it is not the answer of an S3 server")

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

// wholeBody is a body that was read. Nobody reads it again.
type wholeBody struct{ blob []byte }

func (*wholeBody) Read([]byte) (int, error) { return 0, io.EOF }

func (*wholeBody) Close() error { return nil }

// passing is an error that another attempt may not meet, and lasting one that
// it would; the SDK's retryer asks.
type (
	passing struct{ error }
	lasting struct{ error }
)

func (e *passing) RetryableError() bool { return true }

func (e *passing) Unwrap() error { return e.error }

func (e *lasting) RetryableError() bool { return false }

func (e *lasting) Unwrap() error { return e.error }
