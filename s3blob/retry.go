package s3blob

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second

	retryCost  = 5   // tokens of a retry; they come back when it succeeds
	budgetSize = 500 // tokens; the SDK's number, when few are read at a time
	refillRate = 5   // tokens a second: one retry
)

// alsoRetried are errors that S3 and servers like it return for what passes:
// a conflict with another writer, and bytes that were spoilt on their way.
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
		o.RateLimiter = newBudget(max(budgetSize, uint(opts.Parallel)*retryCost), opts.Now)
		o.RetryCost, o.RetryTimeoutCost, o.ThrottlingRetryCost = retryCost, retryCost, retryCost
	})
}

// backoff is the wait before the next attempt, random so that the callers of
// a server that stumbled do not come back all at once.
func backoff(attempt int, _ error) (time.Duration, error) {
	ceiling := min(maxBackoff, minBackoff<<min(max(attempt-1, 0), 10))
	return rand.N(ceiling), nil
}

// errBudget is what a failed request is returned with when there was no token
// for its retry.
var errBudget = errors.New("not retried: too many failures of late")

// budget is the SDK's token bucket that refills with time, too.
type budget struct {
	bucket *ratelimit.TokenBucket
	now    func() time.Time

	mu     sync.Mutex
	filled time.Time // up to when the bucket got what time gives
}

func newBudget(size uint, now func() time.Time) *budget {
	return &budget{bucket: ratelimit.NewTokenBucket(size), now: now, filled: now()}
}

// GetToken takes tokens; the function it returns gives them back.
func (b *budget) GetToken(_ context.Context, cost uint) (func() error, error) {
	b.refill()
	if _, ok := b.bucket.Retrieve(cost); !ok {
		return nil, errBudget
	}
	return func() error { return b.AddTokens(cost) }, nil
}

// AddTokens gives tokens, up to the size of the bucket.
func (b *budget) AddTokens(n uint) error {
	b.bucket.Refund(n)
	return nil
}

// refill gives one token for each whole fraction of a second that passed.
func (b *budget) refill() {
	const each = time.Second / refillRate
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := b.now().Sub(b.filled) / each; n > 0 {
		b.bucket.Refund(uint(min(n, 1<<20)))
		b.filled = b.filled.Add(n * each)
	}
}
