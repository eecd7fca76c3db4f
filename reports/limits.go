package reports

import (
	"errors"
	"time"

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
	if wait := c.rates.reserve(tenant); wait > 0 {
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
