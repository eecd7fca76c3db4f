package shortcuts

import "sync"

// following holds the subscriptions to the subjects of tenants that a client
// waits for.
type following struct {
	mu     sync.Mutex        // guards the fields below, and is held while subscribing
	stop   map[string]func() // ends a subscription, by tenant
	closed bool
}

// follow subscribes for a tenant while awaited returns true, and ends the
// subscription otherwise. It must be called after each change of what awaited
// returns; then the last call leaves the right state, in whatever order the calls
// run. subscribe returns the function that ends the subscription, or nil when it
// failed. Neither function may wait.
func (f *following) follow(tenant string, awaited func() bool, subscribe func() (stop func())) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stop, follows := f.stop[tenant]
	switch wanted := awaited() && !f.closed; {
	case wanted && !follows:
		if stop = subscribe(); stop != nil {
			f.stop[tenant] = stop
		}
	case !wanted && follows:
		stop()
		delete(f.stop, tenant)
	}
}

// close ends all subscriptions and prevents new ones. It returns false when an
// earlier call did so.
func (f *following) close() bool {
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
