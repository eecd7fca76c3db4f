package bucket

// TenantPending returns the tenant's part of Pending, and its limit.
func (c *Collector[T]) TenantPending(tenant string) (bytes, limit int64) {
	return c.lookup(tenant).waiting(), c.opts.tenantLimit(tenant)
}

// Full returns the *FullError with which Add would refuse any value of the
// tenant, nil when it might take one. It costs next to nothing.
func (c *Collector[T]) Full(tenant string) error {
	return c.full(c.lookup(tenant), 1, c.opts.tenantLimit(tenant))
}

// tenantLimit returns how many bytes of a tenant may be pending.
func (o *CollectorOptions[T]) tenantLimit(id string) int64 {
	if o.MaxPendingOf != nil {
		if own := o.MaxPendingOf(id); own > 0 {
			return own
		}
	}
	switch {
	case o.MaxTenantPending > 0:
		return o.MaxTenantPending
	case id == "":
		return o.MaxPending
	}
	return max(o.MaxPending/4, 1)
}

// waiting returns the tenant's bytes that are pending; nil is one that holds
// nothing.
func (t *tenant[T]) waiting() int64 {
	if t == nil {
		return 0
	}
	return t.pending.Load()
}

// admit merges a value into its tenant's tick unless too much is pending. What
// cannot be taken makes no new tenant.
func (c *Collector[T]) admit(id string, a arrival[T]) error {
	if err := c.full(c.lookup(id), c.least(a), c.opts.tenantLimit(id)); err != nil {
		return err
	}
	for {
		t, err := c.tenant(id)
		if err != nil {
			return err
		}
		if known, err := c.addTo(t, a); known || err != nil {
			return err
		}
	}
}

// full returns a *FullError for a value that cannot be taken now, beside those
// of all or those of its tenant.
func (c *Collector[T]) full(t *tenant[T], size, limit int64) error {
	if pending := c.pending.Load(); pending > c.opts.MaxPending-size {
		return &FullError{Pending: pending, Limit: c.opts.MaxPending, Size: size}
	}
	if pending := t.waiting(); pending > limit-size {
		return &FullError{Pending: pending, Limit: limit, Size: size, OfTenant: true}
	}
	return nil
}

// reserve counts a tenant's bytes as pending unless that would pass its limit,
// or that of all. The caller holds the tenant's mu; other tenants' bytes may
// come and go.
func (c *Collector[T]) reserve(t *tenant[T], size int64) error {
	if err := c.full(t, size, c.opts.tenantLimit(t.id)); err != nil {
		return err
	}
	if pending := c.count(t, size); pending > c.opts.MaxPending {
		c.count(t, -size)
		return &FullError{Pending: pending - size, Limit: c.opts.MaxPending, Size: size}
	}
	return nil
}

// count adds to the bytes of a tenant that are pending and returns how many
// there are of all.
func (c *Collector[T]) count(t *tenant[T], size int64) int64 {
	t.pending.Add(size)
	c.metrics.bytes.Add(float64(size))
	return c.pending.Add(size)
}
