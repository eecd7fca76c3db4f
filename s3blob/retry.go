package s3blob

import (
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/timeblob/timeblob/internal/retrybudget"
)

const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second

	retryCost  = 5   // tokens of a retry; they come back when it succeeds
	budgetSize = 500 // tokens; the SDK's number, when few are read at a time
)

// alsoRetried are errors of S3, and of servers like it, that a retry may not
// meet: a conflict with another writer, and bytes that changed on their way.
var alsoRetried = []retry.IsErrorRetryable{
	retry.RetryableErrorCode{Codes: map[string]struct{}{
		"ConditionalRequestConflict":  {},
		"OperationAborted":            {},
		"BadDigest":                   {},
		"IncompleteBody":              {},
		"XAmzContentChecksumMismatch": {},
		"XAmzContentSHA256Mismatch":   {},
	}},
	retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusTooManyRequests: {}}},
}

// newRetryer returns the retryer that the package comment describes.
func newRetryer(opts *Options) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = opts.Attempts
		o.Backoff = retry.BackoffDelayerFunc(backoff)
		o.Retryables = append(o.Retryables, alsoRetried...)
		o.RateLimiter = retrybudget.New(max(budgetSize, uint(opts.Parallel)*retryCost), opts.RetryRate*retryCost, opts.Now)
		o.RetryCost, o.RetryTimeoutCost, o.ThrottlingRetryCost = retryCost, retryCost, retryCost
	})
}

// backoff returns the wait before the next attempt. It is random, so that the
// callers of a server that failed do not come back all at once.
func backoff(attempt int, _ error) (time.Duration, error) {
	ceiling := min(maxBackoff, minBackoff<<min(max(attempt-1, 0), 10))
	return rand.N(ceiling), nil
}
