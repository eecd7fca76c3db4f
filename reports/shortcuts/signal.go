package shortcuts

import (
	"context"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/report"
)

// Add keeps a shortcut that a probe sent, signals the waiting clients, and
// queues it for other services, for which it does not wait. The tenant must
// have passed CheckTenant. The probe is the sender's ID, or empty.
func (h *Hub) Add(tenant string, r *report.Report, probe string) {
	key := h.newKey(tenant)
	h.keep(tenant, key, r, probe)
	h.waiters.signal(tenant)
	if h.Bus != nil {
		h.announce(tenant, key, r)
	}
}

// WaitOn signals a tenant's shortcuts to a channel until UnWait. A signal never
// blocks: give the channel a buffer of one, or it may miss signals. The tenant
// must have passed CheckTenant. The error is bucket.ErrClosed.
func (h *Hub) WaitOn(tenant string, waiter chan<- struct{}) error {
	select {
	case <-h.ended:
		return bucket.ErrClosed
	default:
	}
	h.waiters.add(tenant, waiter)
	h.follow(tenant)
	return nil
}

// UnWait ends WaitOn. After it returns no further signal is sent.
func (h *Hub) UnWait(tenant string, waiter chan<- struct{}) {
	h.waiters.remove(tenant, waiter)
	h.follow(tenant)
}

// Sweep drops the shortcuts that have expired and repeats subscriptions that
// failed. It must be called every few seconds.
func (h *Hub) Sweep() {
	h.store.expire(h.Now())
	for _, tenant := range h.waiters.tenants() {
		h.follow(tenant)
	}
}

// Ended returns a channel that Close closes.
func (h *Hub) Ended() <-chan struct{} { return h.ended }

// Close ends all subscriptions. It waits until running transfers have ended, at
// most a second, and then cancels them. It may be called more than once.
func (h *Hub) Close(ctx context.Context) {
	if h.following.close() {
		close(h.ended)
	}
	ctx, cancel := context.WithTimeout(ctx, carryLimit)
	defer cancel()
	h.sending.Close(ctx)
	h.fetching.Close(ctx)
}

// follow keeps a subscription to a tenant's subject while a client waits for the
// tenant. It must be called after each change of the waiters. Sweep repeats a
// subscription that failed.
func (h *Hub) follow(tenant string) {
	if h.Bus == nil {
		return
	}
	h.following.follow(tenant, func() bool { return h.waiters.any(tenant) }, func() func() { return h.subscribe(tenant) })
}

// subscribe subscribes to a tenant's subject. It returns nil when that failed.
func (h *Hub) subscribe(tenant string) (stop func()) {
	subject, err := subjectOf(tenant)
	if err != nil { // CheckTenant refuses such a tenant
		return nil
	}
	stop, err = h.Bus.Subscribe(subject, func(payload []byte) { h.receive(tenant, payload) })
	if err != nil {
		h.warn("cannot subscribe to shortcuts", "tenant", tenant, "err", err)
		return nil
	}
	return stop
}
