package dynamoindex

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/timeblob/timeblob/internal/tracing"
)

// maxAnswer is more than DynamoDB ever answers: a page holds 1 MB of items, and
// JSON makes at most six bytes of one.
const maxAnswer = 16 << 20

// spans are DynamoDB's operations, each with all its attempts.
const spans = tracing.Scope("dynamoindex")

// watch goes around each request to DynamoDB and around its attempts. It
// holds the deadlines and the metrics.
type watch struct {
	table                   string
	metrics                 *metrics
	clock                   *clock
	attemptTimeout, timeout time.Duration
}

// record is what is known of a request under way. The attempts of a request
// run one after the other, in one goroutine.
type record struct {
	attempts int
	unsure   bool  // an attempt failed and may have taken effect, or may do so later
	last     error // why an attempt failed, apart from the end of the request
}

type recordKey struct{}

// request bounds and measures a request with all its attempts.
func (w *watch) request(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
	out middleware.InitializeOutput, meta middleware.Metadata, err error,
) {
	r := new(record)
	operation := middleware.GetOperationName(ctx)
	ctx, requesting := spans.Client(ctx, operation)
	bounded, cancel := context.WithTimeout(context.WithValue(ctx, recordKey{}, r), w.timeout)
	defer cancel()
	begun := time.Now()
	out, meta, err = next.HandleInitialize(bounded, in)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("no success in %v and %d attempts (%v): %w",
			w.timeout, r.attempts, r.last, context.DeadlineExceeded)
	}
	if isTaken(err) && r.unsure {
		err = &unsureError{err}
	}
	w.metrics.observe(operation, out.Result, err, r.attempts, time.Since(begun))
	w.endSpan(requesting, operation, out.Result, err, r.attempts)
	return out, meta, err
}

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
	if isTaken(err) {
		err = nil
	}
	s.End(err)
}

// isTaken reports whether DynamoDB answered that a condition does not hold.
func isTaken(err error) bool {
	_, taken := errors.AsType[*types.ConditionalCheckFailedException](err)
	return taken
}

// unsureError is the refusal of a condition after an attempt whose answer did not come.
type unsureError struct{ err error }

func (e *unsureError) Error() string {
	return "an earlier attempt of the request may still take effect: " + e.err.Error()
}

func (e *unsureError) Unwrap() error { return e.err }

// attempt bounds one attempt. The SDK takes a deadline for the caller's wish to
// give up, so the end of an attempt's time becomes an error that is retried.
func (w *watch) attempt(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	out middleware.FinalizeOutput, meta middleware.Metadata, err error,
) {
	bounded, cancel := context.WithTimeout(ctx, w.attemptTimeout)
	defer cancel()
	out, meta, err = next.HandleFinalize(bounded, in)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("no answer in %v: %w", w.attemptTimeout, context.DeadlineExceeded)
	}
	if r, ok := ctx.Value(recordKey{}).(*record); ok {
		r.attempts++
		r.unsure = r.unsure || err != nil && !isTaken(err) && !throttled(err)
		if r.last == nil || ctx.Err() == nil {
			r.last = err
		}
	}
	return out, meta, err
}

// answer lets only whole answers through to the SDK, which takes an empty
// answer for an empty result and only logs a wrong checksum.
func (w *watch) answer(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	out middleware.DeserializeOutput, meta middleware.Metadata, err error,
) {
	out, meta, err = next.HandleDeserialize(ctx, in)
	response, ok := out.RawResponse.(*smithyhttp.Response)
	if ok {
		w.clock.set(response.Header.Get("Date"))
	}
	if err != nil || !ok {
		return out, meta, err
	}
	body, err := readAnswer(response)
	response.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return out, meta, &brokenError{err}
	}
	return out, meta, nil
}

// readAnswer reads, checks and closes the body of a response.
func readAnswer(response *smithyhttp.Response) ([]byte, error) {
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("longer than %d bytes", maxAnswer)
	case len(body) == 0 && response.StatusCode < 300:
		return nil, errors.New("empty")
	}
	return body, checkSum(body, response.Header.Get("X-Amz-Crc32"))
}

// checkSum compares the checksum of a body with the one sent along, if one was.
func checkSum(body []byte, sent string) error {
	if sent == "" {
		return nil
	}
	if got := strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10); got != sent {
		return fmt.Errorf("its CRC-32 is %s, and %.20q was sent", got, sent)
	}
	return nil
}

// brokenError is an answer that did not arrive as it was sent.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return "broken answer: " + e.err.Error() }

func (e *brokenError) Unwrap() error { return e.err }

// RetryableError tells the SDK's retryer to send the request again.
func (e *brokenError) RetryableError() bool { return true }
