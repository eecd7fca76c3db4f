package bucket

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/bucket/internal/outbox"
	"github.com/timeblob/timeblob/bucket/internal/window"
	"github.com/timeblob/timeblob/internal/gate"
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

// ids returns the ids, sorted, of the tenants in memory that a deletion has not left
// empty.
func (r *registry[T]) ids() (ids []string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for id, t := range r.byID {
		if !t.emptied.Load() {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
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
	begun   time.Time     // when the collector was made, by Now, with the reading of the monotonic clock
	born    time.Time     // the same by the system's clock

	lastSealed atomic.Int64 // Unix nanoseconds; written with the collector's sealing held

	// forgotten is the latest instant that a forgotten tenant gave to a value. A
	// tenant begins with it, so that one that comes back gives no instant twice.
	forgotten atomic.Int64
}

func (s *shared[T]) now() int64 { return s.opts.Now().UnixNano() }

// steady is the time by the monotonic clock, where Now reads it: it goes on as if nobody
// set the clock. Ids are remembered by it, so that a clock that was set neither forgets
// an id within the window nor remembers it for longer.
func (s *shared[T]) steady() int64 {
	return s.begun.UnixNano() + int64(s.opts.Now().Sub(s.begun))
}

// age is how many nanoseconds the collector has been there, from 1. Nobody can set it.
func (s *shared[T]) age() int64 { return 1 + int64(time.Since(s.born)) }

func (s *shared[T]) newTenant(id string) *tenant[T] {
	return &tenant[T]{id: id, shared: s, account: account{tenant: id}, mu: gate.NewLatch(), asking: make(chan struct{}, 1),
		ticks:   window.New(int64(s.opts.Window), func(parts []*lazy[T]) (*lazy[T], error) { return s.lazies.join(context.Background(), parts) }),
		version: s.changes.Add(1), last: s.forgotten.Load(), watches: make(map[*watch[T]]struct{}), edits: 1}
}

// forget keeps the last instant of a tenant that is being forgotten.
func (s *shared[T]) forget(last int64) {
	for known := s.forgotten.Load(); last > known && !s.forgotten.CompareAndSwap(known, last); {
		known = s.forgotten.Load()
	}
}

// patience is how long a seal waits for ticks that do not end, because functions of
// the user have not returned. It then goes on without them.
const patience = time.Second

// errUnsealed says that a tick could not be ended.
var errUnsealed = errors.New("its open tick does not end, because a merge or another function of the user has not returned")

// sealing ends the open ticks of all tenants, again and again.
type sealing[T any] struct {
	mu   sync.Mutex                // held during a round; guards late
	late map[*tenant[T]]*ending[T] // ticks that an earlier round has not seen end
}

// ending is the end of one tenant's tick.
type ending[T any] struct {
	tenant *tenant[T]
	done   chan struct{} // closed when the tick has ended
}

func (e *ending[T]) isDone() bool {
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}

// round calls begin, ends the ticks of the tenants that begin returns, several at a
// time, and calls after. It returns the ticks that have not ended by then, and whether
// an earlier round began to end some of them.
func (s *sealing[T]) round(begin func() []*tenant[T], end func(*tenant[T]), after func()) (late []*ending[T], earlier bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tenants := begin()
	defer after()
	begun := make([]ending[T], 0, len(tenants))
	workers, timer := make(chan struct{}, runtime.GOMAXPROCS(0)), time.NewTimer(patience)
	defer timer.Stop()
	for _, t := range tenants {
		if e := s.late[t]; e != nil && !e.isDone() {
			late, earlier = append(late, e), true
			continue
		}
		delete(s.late, t)
		select {
		case workers <- struct{}{}:
		case <-timer.C: // these workers hang: go on with others
			workers = make(chan struct{}, cap(workers))
			workers <- struct{}{}
			timer.Reset(patience)
		}
		ended, own := make(chan struct{}), workers
		begun = append(begun, ending[T]{t, ended})
		go func() {
			defer func() { close(ended); <-own }()
			end(t)
		}()
	}
	return append(late, s.await(begun, timer)...), earlier
}

// await waits for ticks to end until the timer fires. It returns the others. The
// caller holds mu.
func (s *sealing[T]) await(begun []ending[T], timer *time.Timer) (late []*ending[T]) {
	fired := false
	for i := range begun {
		e := &begun[i]
		if !fired {
			select {
			case <-e.done:
			case <-timer.C:
				fired = true
			}
		}
		if e.isDone() {
			continue
		}
		if s.late == nil {
			s.late = make(map[*tenant[T]]*ending[T])
		}
		s.late[e.tenant] = e
		late = append(late, e)
	}
	return late
}

// seal ends the open tick of every tenant, several at a time, and lets go of
// idle tenants. It returns the ticks that do not end.
func (c *Collector[T]) seal() (late []*ending[T], earlier bool) {
	late, earlier = c.sealing.round(func() []*tenant[T] {
		c.shared.started.Store(min(c.now(), c.shared.started.Load())) // earlier when the clock was set back
		return c.tenants.all()
	}, func(t *tenant[T]) {
		if t.endTick() {
			c.tenants.forget(t)
		}
	}, func() {
		c.tenants.shrink()
		c.lazies.expire()
		c.shared.lastSealed.Store(c.now())
		c.ticked.Store(true)
		c.metrics.oldest.Set(c.outbox.Oldest().Seconds())
	})
	for _, e := range late {
		if !earlier {
			c.opts.Logger.Error("a tick does not end", "tenant", e.tenant.id, "err", errUnsealed)
		}
	}
	return late, earlier
}

// sealAll is seal that waits until all ticks have ended, or ctx ends. It returns the
// tenants whose ticks have not ended.
func (c *Collector[T]) sealAll(ctx context.Context) (left []Undelivered) {
	for {
		late, earlier := c.seal()
		for _, e := range late {
			select {
			case <-e.done:
			case <-ctx.Done():
				left = append(left, c.unsealed(e.tenant.id))
			}
		}
		if len(left) > 0 || !earlier {
			return left
		}
	}
}

// unsealed describes the open tick of a tenant that does not end.
func (c *Collector[T]) unsealed(tenant string) Undelivered {
	return Undelivered{Tenant: tenant, Time: c.opts.Now(), Err: errUnsealed}
}
