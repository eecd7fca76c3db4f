// Package retrybudget bounds how many requests an AWS client sends again.
//
// The SDK bounds retries by a bucket of tokens that only successes refill, so
// that after an outage a client with few requests goes without retries for
// hours. A Budget refills with time as well. It is the RateLimiter of the
// SDK's retry.StandardOptions.
package retrybudget

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrExhausted is the error of a request that failed and could not be sent again
// for want of tokens.
var ErrExhausted = errors.New("not retried: too many requests failed lately")

// Budget is a bucket of tokens. It is safe for any number of goroutines.
type Budget struct {
	size float64
	rate float64 // tokens a second
	now  func() time.Time

	mu     sync.Mutex // guards what follows
	tokens float64
	filled time.Time // tokens holds what came in until then
}

// New returns a full bucket of size tokens that refills at rate tokens a
// second, by the clock now.
func New(size uint, rate float64, now func() time.Time) *Budget {
	return &Budget{size: float64(size), rate: rate, now: now, tokens: float64(size), filled: now()}
}

// GetToken takes cost tokens, or returns ErrExhausted when there are fewer. The
// function it returns gives the tokens back.
func (b *Budget) GetToken(_ context.Context, cost uint) (release func() error, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if passed := now.Sub(b.filled); passed > 0 {
		b.tokens = min(b.size, b.tokens+passed.Seconds()*b.rate)
		b.filled = now
	}
	if b.tokens+rounding < float64(cost) {
		return nil, ErrExhausted
	}
	b.tokens -= float64(cost)
	return func() error { return b.AddTokens(cost) }, nil
}

// rounding is how much a sum of many small refills may be wrong by.
const rounding = 1e-6

// AddTokens gives n tokens, up to the size of the bucket.
func (b *Budget) AddTokens(n uint) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.size, b.tokens+float64(n))
	return nil
}
