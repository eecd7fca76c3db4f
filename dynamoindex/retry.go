package dynamoindex

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// The pauses between attempts, and how the budget of retries refills. The
// tokens are the SDK's: a bucket of 500, of which a retry takes 5.
const (
	basePause     = 25 * time.Millisecond
	maxPause      = 2 * time.Second
	throttledLess = 4 // how much slower what was throttled goes on
	tokenEvery    = 20 * time.Millisecond
)

// newRetryer returns the SDK's standard retryer with this package's pauses and
// budget, whatever the environment says about retries.
func newRetryer(attempts int, now func() time.Time) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.Backoff = retry.BackoffDelayerFunc(pauseAfter)
		o.RateLimiter = newBudget(now)
		o.RetryCost = retry.DefaultRetryCost
		o.RetryTimeoutCost = retry.DefaultRetryCost
		o.ThrottlingRetryCost = retry.DefaultRetryCost
		o.NoRetryIncrement = retry.DefaultNoRetryIncrement
	})
}

// pauseAfter returns how long to wait after an attempt, counted from 1, that
// failed with err: anything between nothing and a bound that doubles, so that
// many who failed together do not come back together.
func pauseAfter(attempt int, err error) (time.Duration, error) {
	bound := basePause
	if throttled(err) {
		bound *= throttledLess
	}
	for range min(attempt, 10) {
		bound = min(2*bound, maxPause)
	}
	return rand.N(bound), nil
}

func throttled(err error) bool {
	return retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary
}

// budget bounds retries as the SDK's token bucket does, which only successes
// refill, and is refilled by time as well.
type budget struct {
	*ratelimit.TokenRateLimit
	now func() time.Time

	mu     sync.Mutex
	filled time.Time // what passed until then has been turned into tokens; guarded by mu
}

func newBudget(now func() time.Time) *budget {
	return &budget{TokenRateLimit: ratelimit.NewTokenRateLimit(retry.DefaultRetryRateTokens), now: now, filled: now()}
}

// GetToken takes cost tokens, or fails when there are not as many.
func (b *budget) GetToken(ctx context.Context, cost uint) (release func() error, err error) {
	if err := b.refill(); err != nil {
		return nil, err
	}
	return b.TokenRateLimit.GetToken(ctx, cost)
}

func (b *budget) refill() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.now().Sub(b.filled) / tokenEvery
	if n <= 0 {
		return nil
	}
	b.filled = b.filled.Add(n * tokenEvery)
	return b.AddTokens(uint(min(n, time.Duration(retry.DefaultRetryRateTokens))))
}
