package shortcuts

import (
	"maps"
	"slices"
	"sync"
)

// waiters holds the channels to signal, by tenant. The zero value is ready.
type waiters struct {
	mu       sync.Mutex                              // guards byTenant
	byTenant map[string]map[chan<- struct{}]struct{} // no set is empty
}

func (w *waiters) add(tenant string, waiter chan<- struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byTenant == nil {
		w.byTenant = make(map[string]map[chan<- struct{}]struct{})
	}
	if w.byTenant[tenant] == nil {
		w.byTenant[tenant] = make(map[chan<- struct{}]struct{})
	}
	w.byTenant[tenant][waiter] = struct{}{}
}

func (w *waiters) remove(tenant string, waiter chan<- struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byTenant[tenant], waiter)
	if len(w.byTenant[tenant]) == 0 {
		delete(w.byTenant, tenant)
	}
}

// signal sends to every channel of a tenant that has room in its buffer.
func (w *waiters) signal(tenant string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for waiter := range w.byTenant[tenant] {
		select {
		case waiter <- struct{}{}:
		default:
		}
	}
}

// any reports whether a channel waits for a tenant.
func (w *waiters) any(tenant string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.byTenant[tenant]) > 0
}

// tenants returns the tenants that a channel waits for.
func (w *waiters) tenants() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.byTenant))
}
