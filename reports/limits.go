package reports

import (
	"errors"
	"math"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/tenants"
)

// Why reports are refused, in metrics.
const (
	refusedRate    = "rate"    // the tenant posts too often
	refusedPending = "pending" // too much of the tenant's waits to be stored
	refusedSize    = "size"    // the report is too large
	refusedFull    = "full"    // of all tenants, too much waits or is under way
	refusedInvalid = "invalid" // it is no report
)

// reason returns why a report was refused, empty when its refusal is no limit's
// and no fault of the report.
func (f *refusal) reason() string {
	switch f.status {
	case http.StatusTooManyRequests:
		if f.after > 0 {
			return refusedRate
		}
		return refusedPending
	case http.StatusRequestEntityTooLarge:
		return refusedSize
	case http.StatusServiceUnavailable:
		return refusedFull
	case http.StatusBadRequest, http.StatusUnsupportedMediaType:
		return refusedInvalid
	}
	return ""
}

// tenantTable returns what tenants have in place of all others' limits; a nil
// Collector has none.
func (c *Collector) tenantTable() *tenants.Table {
	if c == nil {
		return nil
	}
	return c.tenants()
}

// limits returns how large a tenant's report may be.
func (h *Handler) limits(tenant string) tenants.Limits {
	own := h.opts.Tenants().Limits(tenant)
	orDefault(&own.Size, h.opts.MaxBody)
	orDefault(&own.Inflated, h.opts.MaxInflated)
	return own
}

// mayPost notes that a tenant posts a report, and refuses it when the tenant
// posts too many, or when so much of it waits that no report would be taken; a
// shortcut goes with those, since it is not known for one before it is read.
func (c *Collector) mayPost(tenant string) error {
	if wait := c.rates.take(tenant); wait > 0 {
		return &refusal{status: http.StatusTooManyRequests, retry: true, after: wait,
			text: "this tenant posts too many reports a second: send fewer, or this one a little later"}
	}
	full, _ := errors.AsType[*bucket.FullError](c.live.Full(tenant))
	if full != nil && full.OfTenant {
		return full
	}
	return nil
}

// fewRates is how many tenants' rates are held before idle ones are looked for.
const fewRates = 1024

// rates bounds how often each tenant posts: so many times a second, and twice
// that at once.
type rates struct {
	limit func(tenant string) float64 // reports a second; no limit below 0
	now   func() time.Time

	mu       sync.Mutex // guards what follows
	limiters map[string]*rate.Limiter
	most     int // limiters to hold before idle ones are looked for
}

func newRates(limit func(tenant string) float64, now func() time.Time) *rates {
	return &rates{limit: limit, now: now, limiters: make(map[string]*rate.Limiter), most: fewRates}
}

// take counts a report of a tenant. When that would be too many it does not,
// and returns after what time there will be room for one.
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

// forgetIdle lets go of the tenants that posted nothing lately.
func (r *rates) forgetIdle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep(r.now())
}

// sweep lets go of the tenants that may post as much at once as new ones. The
// others move to a map of their own, since a map keeps the room it once needed.
// The mutex is held.
func (r *rates) sweep(now time.Time) {
	left := make(map[string]*rate.Limiter)
	for tenant, l := range r.limiters {
		if l.TokensAt(now) < float64(l.Burst()) {
			left[tenant] = l
		}
	}
	r.limiters, r.most = left, max(fewRates, 2*len(left))
}
