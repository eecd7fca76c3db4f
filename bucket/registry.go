package bucket

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/bucket/internal/outbox"
	"github.com/timeblob/timeblob/bucket/internal/window"
)

// registry holds the tenants that a collector has in memory.
type registry[T any] struct {
	limit     int
	newTenant func(id string) *tenant[T]
	gauge     prometheus.Gauge

	mu   sync.RWMutex // guards what follows
	byID map[string]*tenant[T]
	most int // tenants at a time since the map was made
}

// lookup returns the tenant of an id, nil when there is none in memory.
func (r *registry[T]) lookup(id string) *tenant[T] {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[id]
}

// get returns the tenant of an id, a new one if need be, or a
// *TenantLimitError.
func (r *registry[T]) get(id string) (*tenant[T], error) {
	if t := r.lookup(id); t != nil {
		return t, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.byID) >= r.limit && r.byID[id] == nil {
		return nil, &TenantLimitError{Tenant: id, Limit: r.limit}
	}
	return r.make(id), nil
}

// adopt returns the tenant of an id, a new one if need be, whatever the limit.
func (r *registry[T]) adopt(id string) *tenant[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.make(id)
}

// make returns the tenant of an id, a new one if need be. The caller holds mu.
func (r *registry[T]) make(id string) *tenant[T] {
	if t := r.byID[id]; t != nil {
		return t
	}
	t := r.newTenant(id)
	if r.byID == nil {
		r.byID = make(map[string]*tenant[T])
	}
	r.byID[id] = t
	r.most = max(r.most, len(r.byID))
	r.gauge.Inc()
	return t
}

// room returns a *TenantLimitError when get would return one.
func (r *registry[T]) room(id string) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.byID) >= r.limit && r.byID[id] == nil {
		return &TenantLimitError{Tenant: id, Limit: r.limit}
	}
	return nil
}

func (r *registry[T]) forget(t *tenant[T]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID[t.id] == t {
		delete(r.byID, t.id)
		r.gauge.Dec()
	}
}

// all returns the tenants in memory, in no order.
func (r *registry[T]) all() []*tenant[T] {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.byID))
}

// ids returns the ids of the tenants in memory, sorted.
func (r *registry[T]) ids() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.byID))
}

// count returns how many tenants are in memory.
func (r *registry[T]) count() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.byID)
}

// shrink gives back the memory of tenants that are gone: a map keeps what it
// once needed.
func (r *registry[T]) shrink() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if left := len(r.byID); left < r.most/4 {
		roomy := r.byID
		r.byID, r.most = make(map[string]*tenant[T], left), left
		maps.Copy(r.byID, roomy)
	}
}

// shared is what a collector's tenants have in common.
type shared[T any] struct {
	opts    *CollectorOptions[T]
	user    *userFuncs[T]
	lazies  *lazies[T]
	budget  *budget
	outbox  *outbox.Outbox[*pending[T]]
	sealed  func()        // is told of each value that is sealed
	changes atomic.Uint64 // how many versions tenants have had
	running atomic.Bool   // Run runs
	started atomic.Int64  // Unix nanoseconds; no value of this collector's ticks is from before

	lastSealed atomic.Int64 // Unix nanoseconds; written with the collector's sealing held

	// forgotten is the latest instant that a forgotten tenant gave to a value. A
	// tenant begins with it, so that one that comes back gives no instant twice.
	forgotten atomic.Int64
}

func (s *shared[T]) now() int64 { return s.opts.Now().UnixNano() }

func (s *shared[T]) newTenant(id string) *tenant[T] {
	return &tenant[T]{id: id, shared: s, account: account{tenant: id}, asking: make(chan struct{}, 1),
		ticks:   window.New(int64(s.opts.Window), s.lazies.join),
		version: s.changes.Add(1), last: s.forgotten.Load(), watches: make(map[*watch[T]]struct{}), edits: 1}
}

// forget keeps the last instant of a tenant that is being forgotten.
func (s *shared[T]) forget(last int64) {
	for known := s.forgotten.Load(); last > known && !s.forgotten.CompareAndSwap(known, last); {
		known = s.forgotten.Load()
	}
}
