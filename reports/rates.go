package reports

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// fewRates is the number of limiters up to which idle ones are not looked for.
const fewRates = 1024

// rates limits how often each tenant posts. The burst is two seconds' worth.
type rates struct {
	limit func(tenant string) float64 // reports a second; negative for no limit
	now   func() time.Time

	mu       sync.Mutex // guards the fields below
	limiters map[string]*rate.Limiter
	most     int // number of limiters at which idle ones are removed
}

func newRates(limit func(tenant string) float64, now func() time.Time) *rates {
	return &rates{limit: limit, now: now, limiters: make(map[string]*rate.Limiter), most: fewRates}
}

// reserve counts a report of a tenant. When the report is one too many, it is not
// counted, and reserve returns how long to wait until one is allowed.
func (r *rates) reserve(tenant string) (wait time.Duration) {
	limit := r.limit(tenant)
	if limit < 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	l := r.of(tenant, limit, now)
	if l.AllowN(now, 1) {
		return 0
	}
	return max(time.Duration((1-l.TokensAt(now))/limit*float64(time.Second)), 1)
}

// of returns a tenant's limiter, set to a limit. The mutex is held.
func (r *rates) of(tenant string, limit float64, now time.Time) *rate.Limiter {
	burst := int(max(1, math.Ceil(2*limit)))
	l := r.limiters[tenant]
	if l == nil {
		if len(r.limiters) >= r.most {
			r.sweep(now)
		}
		l = rate.NewLimiter(rate.Limit(limit), burst)
		r.limiters[tenant] = l
	}
	if l.Limit() != rate.Limit(limit) {
		l.SetLimitAt(now, rate.Limit(limit))
		l.SetBurstAt(now, burst)
	}
	return l
}

// forgetIdle removes the limiters of tenants that posted nothing lately.
func (r *rates) forgetIdle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep(r.now())
}

// sweep removes the limiters that equal new ones: their whole burst is free. The
// others move to a new map, since a map never shrinks. The mutex is held.
func (r *rates) sweep(now time.Time) {
	left := make(map[string]*rate.Limiter)
	for tenant, l := range r.limiters {
		if l.TokensAt(now) < float64(l.Burst()) {
			left[tenant] = l
		}
	}
	r.limiters, r.most = left, max(fewRates, 2*len(left))
}
