package bucket

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/internal/guard"
)

// budget counts the bytes of the values that are not discoverable yet, and
// bounds them.
type budget struct {
	limit   int64                     // of all tenants together
	limitOf func(tenant string) int64 // of one
	bytes   atomic.Int64
	gauge   prometheus.Gauge
}

// account is one tenant's part of a budget. A nil account has no bytes.
type account struct {
	tenant string
	bytes  atomic.Int64
}

// pending returns how many bytes of the tenant are pending.
func (a *account) pending() int64 {
	if a == nil {
		return 0
	}
	return a.bytes.Load()
}

// check returns a *FullError when so many bytes of a tenant cannot be taken now,
// because of the limit of all tenants or of its own.
func (b *budget) check(a *account, size, limit int64) error {
	if pending := b.bytes.Load(); pending > b.limit-size {
		return &FullError{Pending: pending, Limit: b.limit, Size: size}
	}
	if pending := a.pending(); pending > limit-size {
		return &FullError{Pending: pending, Limit: limit, Size: size, OfTenant: true}
	}
	return nil
}

// reserve counts bytes of a tenant unless that would pass a limit. The caller
// is alone in reserving bytes of this tenant; other tenants' may come and go.
func (b *budget) reserve(a *account, size int64) error {
	if err := b.check(a, size, b.limitOf(a.tenant)); err != nil {
		return err
	}
	if pending := b.add(a, size); pending > b.limit {
		b.add(a, -size)
		return &FullError{Pending: pending - size, Limit: b.limit, Size: size}
	}
	return nil
}

// add counts bytes of a tenant, or takes them off again, and returns how many
// bytes of all tenants are pending.
func (b *budget) add(a *account, size int64) int64 {
	a.bytes.Add(size)
	b.gauge.Add(float64(size))
	return b.bytes.Add(size)
}

// tenantLimit returns how many bytes of a tenant may be pending.
func (o *CollectorOptions[T]) tenantLimit(tenant string) int64 {
	if own := o.ownLimit(tenant); own > 0 {
		return own
	}
	switch {
	case o.MaxTenantPending > 0:
		return o.MaxTenantPending
	case tenant == "":
		return o.MaxPending
	}
	return max(o.MaxPending/4, 1)
}

// ownLimit returns the limit that MaxPendingOf says, or 0 when it panics.
func (o *CollectorOptions[T]) ownLimit(tenant string) (own int64) {
	if o.MaxPendingOf == nil {
		return 0
	}
	var panicked error
	defer guard.Recover("limit", &panicked)
	return o.MaxPendingOf(tenant)
}

// accounts returns the tenant's account, nil for a tenant that is not in memory.
func (t *tenant[T]) accounts() *account {
	if t == nil {
		return nil
	}
	return &t.account
}
