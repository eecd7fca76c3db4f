package reports

import "sync"

// following are the subscriptions to the subjects of tenants that are waited
// for.
type following struct {
	mu     sync.Mutex        // guards what follows, and is held while it changes
	stop   map[string]func() // by tenant
	closed bool
}

// follow subscribes to a tenant's subject when somebody waits for it, and ends
// the subscription when nobody does. Whoever changes who waits calls it
// afterwards, so that the last call leaves what is right, in whatever order they
// come. What fails is tried again by sweep.
func (h *shortcutHub) follow(tenant string) {
	if h.bus == nil {
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

// subscribe is called with the mutex held.
func (h *shortcutHub) subscribe(tenant string) {
	subject, err := subjectOf(tenant)
	if err != nil { // it was checked before it could wait
		return
	}
	stop, err := h.bus.Subscribe(subject, func(payload []byte) { h.hear(tenant, payload) })
	if err != nil {
		h.complain("cannot subscribe to shortcuts", "tenant", tenant, "error", err)
		return
	}
	h.following.stop[tenant] = stop
}

// unfollowAll ends all subscriptions for good; false when it was done before.
func (h *shortcutHub) unfollowAll() bool {
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
