package shortcuts

import "sync"

// following holds the subscriptions to the subjects of tenants that a client
// waits for.
type following struct {
	mu     sync.Mutex        // guards the fields below, and is held while subscribing
	stop   map[string]func() // ends a subscription, by tenant
	closed bool
}

// follow subscribes to a tenant's subject while a client waits for the tenant,
// and ends the subscription otherwise. It must be called after each change of
// the waiters; then the last call leaves the right state, in whatever order the
// calls run. Sweep repeats a subscription that failed.
func (h *Hub) follow(tenant string) {
	if h.Bus == nil {
		return
	}
	f := &h.following
	f.mu.Lock()
	defer f.mu.Unlock()
	stop, follows := f.stop[tenant]
	switch awaited := h.waiters.any(tenant) && !f.closed; {
	case awaited && !follows:
		h.subscribe(tenant)
	case !awaited && follows:
		stop()
		delete(f.stop, tenant)
	}
}

// subscribe subscribes to a tenant's subject. The mutex is held.
func (h *Hub) subscribe(tenant string) {
	subject, err := subjectOf(tenant)
	if err != nil { // CheckTenant refuses such a tenant
		return
	}
	stop, err := h.Bus.Subscribe(subject, func(payload []byte) { h.receive(tenant, payload) })
	if err != nil {
		h.warn("cannot subscribe to shortcuts", "tenant", tenant, "err", err)
		return
	}
	h.following.stop[tenant] = stop
}

// unfollowAll ends all subscriptions and prevents new ones. It returns false
// when an earlier call did so.
func (h *Hub) unfollowAll() bool {
	f := &h.following
	f.mu.Lock()
	defer f.mu.Unlock()
	for tenant, stop := range f.stop {
		stop()
		delete(f.stop, tenant)
	}
	first := !f.closed
	f.closed = true
	return first
}
