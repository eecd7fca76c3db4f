package reports

import (
	"errors"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/tenants"
)

// RateError is returned for a report of a tenant that posts more often than its
// limit allows.
type RateError struct {
	Wait time.Duration // until the tenant may post again
}

func (e *RateError) Error() string {
	return "this tenant posts too many reports a second: send fewer, or try again later"
}

// Reasons for refusing a posted report, as CountRefused counts them.
const (
	RefusedRate    = "rate"    // the tenant posts too often
	RefusedPending = "pending" // too many bytes of the tenant wait to be stored
	RefusedSize    = "size"    // the report is too large
	RefusedFull    = "full"    // too many bytes of all tenants wait or are being received
	RefusedInvalid = "invalid" // the body is not a report
)

// Limits returns the limits of a tenant that differ from the defaults.
func (c *Collector) Limits(tenant string) tenants.Limits { return c.tenants().Limits(tenant) }

// Table returns the tenants file's table; nil when there is none.
func (c *Collector) Table() *tenants.Table { return c.tenants() }

// Admit must be called before a posted report is read. It counts the report
// against the tenant's rate. The error is a *RateError, a *bucket.FullError when so
// many bytes of the tenant wait that no report would be accepted, or a
// *bucket.TenantLimitError. A shortcut is refused as well, since the collector has
// not read it yet.
func (c *Collector) Admit(tenant string) error {
	if wait := c.rates.take(tenant); wait > 0 {
		return &RateError{Wait: wait}
	}
	err := c.live.Full(tenant)
	if full, ok := errors.AsType[*bucket.FullError](err); ok && !full.OfTenant {
		return nil // it may have room when the report has arrived
	}
	return err
}

// CountRefused counts a posted report that was refused; an empty reason is not
// counted.
func (c *Collector) CountRefused(tenant, reason string) { c.metrics.countRefused(tenant, reason) }

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

// take counts a report of a tenant. When the report is one too many, it is not
// counted, and take returns how long to wait until one is allowed.
func (r *rates) take(tenant string) (wait time.Duration) {
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
