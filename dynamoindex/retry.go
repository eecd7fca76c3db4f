package dynamoindex

import (
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/timeblob/timeblob/internal/retrybudget"
)

// The delays between attempts, and the budget of retries. The budget is the SDK's: 500 tokens, 5 for a retry.
const (
	basePause     = 25 * time.Millisecond
	maxPause      = 2 * time.Second
	throttledMore = 4 // how many times longer the pauses are after throttling
)

// newRetryer returns the SDK's standard retryer with this package's pauses and
// budget, whatever the environment says about retries.
func newRetryer(opts *Options) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = opts.Attempts
		o.Backoff = retry.BackoffDelayerFunc(pauseAfter)
		o.RateLimiter = retrybudget.New(retry.DefaultRetryRateTokens, opts.RetryRate*float64(retry.DefaultRetryCost), opts.Now)
		o.RetryCost = retry.DefaultRetryCost
		o.RetryTimeoutCost = retry.DefaultRetryCost
		o.ThrottlingRetryCost = retry.DefaultRetryCost
		o.NoRetryIncrement = retry.DefaultNoRetryIncrement
	})
}

// pauseAfter returns how long to wait after an attempt, counted from 1, that
// failed with err: a random time below a bound that doubles, so that requests
// that failed together do not come back together.
func pauseAfter(attempt int, err error) (time.Duration, error) {
	bound := basePause
	if throttled(err) {
		bound *= throttledMore
	}
	for range min(attempt, 10) {
		bound = min(2*bound, maxPause)
	}
	return rand.N(bound), nil
}

func throttled(err error) bool {
	return retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary
}
