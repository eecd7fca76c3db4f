package bucket

// Pending is Stats().Bytes.
func (c *Collector[T]) Pending() int64 { return c.budget.bytes.Load() }

// TenantPending returns the tenant's part of Pending, and its limit.
func (c *Collector[T]) TenantPending(tenant string) (bytes, limit int64) {
	return c.tenants.lookup(tenant).accounts().pending(), c.opts.tenantLimit(tenant)
}

// Early returns the bytes of values that were decoded when they came and wait to be merged.
func (c *Collector[T]) Early() int64 { return c.lazies.early.Bytes() }
