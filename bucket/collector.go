package bucket

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/index"
)

// Collector takes values of many tenants, merges those of a tenant that
// arrive within a tick, makes each merged value discoverable in blobs and
// index, and answers for the live window and for any past range. It is safe
// for any number of goroutines.
//
// A value's instant is when its tick was sealed. From Add on it is in every
// answer that covers it, whether it has reached the index yet or not.
type Collector[T any] struct {
	entries index.Index
	blobs   Blobs[T]
	merge   Merge[T]
	opts    CollectorOptions[T]
	past    *Quantizer[T]
	packing packing[T]
	metrics *collectorMetrics
	id      string        // differs from every other collector's
	changes atomic.Uint64 // how many versions tenants have had
	started atomic.Int64  // Unix nanoseconds; no value of this collector is from before

	outbox     *outbox[T]
	pending    atomic.Int64 // bytes not yet discoverable
	sealing    sync.Mutex   // held while the ticks are ended: then all that is sealed is in the outbox
	lastSealed atomic.Int64 // Unix nanoseconds; written with sealing held
	ticked     atomic.Bool  // a tick has ended

	mu      sync.RWMutex // guards what follows
	tenants map[string]*tenant[T]
	most    int // tenants at a time since the map was made

	life   sync.RWMutex  // held for reading by what Close must wait for
	closed bool          // guarded by life
	stop   chan struct{} // closed with it
	ended  chan struct{} // closed when Run returns; nil before Run; guarded by life
}

// tenant is one tenant's values that are not only in the store.
type tenant[T any] struct {
	id      string
	changes *atomic.Uint64 // the collector's
	failing atomic.Bool    // the last attempt to flush a value was slow to fail

	probe  *pending[T]   // the one value that is in the doubtful lane; of the outbox
	parked []*pending[T] // those that wait for it; likewise

	pending atomic.Int64 // bytes not yet discoverable

	mu      sync.Mutex // guards what follows
	window  *Window[*parcel[T]]
	size    int64         // bytes added to the current tick
	adds    int           // values added to it
	busy    bool          // several values were added to the last one
	last    int64         // the last instant given, Unix nanoseconds
	version uint64        // what Held.Version is made of
	held    []*pending[T] // sealed, not yet known to be discoverable
	asking  map[*watch[T]]struct{}
	gone    bool // forgotten by the collector: look the tenant up again
}

// NewCollector returns a collector over an index and a blob store. It does
// nothing by itself: call Run to seal and flush every tick, or Flush by hand,
// and Close in the end.
func NewCollector[T any](idx index.Index, blobs Blobs[T], merge Merge[T], opts *CollectorOptions[T]) (*Collector[T], error) {
	if idx == nil || blobs == nil || merge == nil {
		return nil, errors.New("collector: needs an index, a blob store and a merge function")
	}
	o, err := opts.withDefaults(blobs)
	if err != nil {
		return nil, err
	}
	past, err := NewQuantizer(idx, blobs, merge, &o.Past)
	if err != nil {
		return nil, err
	}
	c := &Collector[T]{entries: idx, blobs: blobs, merge: merge, opts: o, past: past,
		outbox: newOutbox[T](), id: rand.Text(),
		tenants: make(map[string]*tenant[T]), stop: make(chan struct{})}
	if c.packing, err = newPacking(blobs, merge, &o); err != nil {
		return nil, fmt.Errorf("collector: %w", err)
	}
	c.started.Store(c.now())
	c.lastSealed.Store(c.started.Load())
	if c.metrics, err = newCollectorMetrics(o.Registerer, o.Namespace); err != nil {
		return nil, fmt.Errorf("collector: metrics: %w", err)
	}
	c.metrics.limit.Add(float64(o.MaxPending))
	return c, nil
}

// Add merges v into the tenant's current tick, at the cost of one merge. The
// collector keeps v: nobody may change it any more. The error is a
// *TenantError for an id that CheckTenant refuses, a *FullError when too much
// is pending, of this tenant or of all, ErrClosed, or that of the merge; v is
// then in no answer and will not be stored.
func (c *Collector[T]) Add(tenant string, v T) error {
	return c.add(tenant, arrival[T]{value: v, open: true})
}

func (c *Collector[T]) add(tenant string, a arrival[T]) error {
	if err := index.CheckTenant(tenant); err != nil {
		return err
	}
	c.life.RLock()
	defer c.life.RUnlock()
	if c.closed {
		return ErrClosed
	}
	err := c.admit(tenant, a)
	if _, full := errors.AsType[*FullError](err); full {
		c.metrics.refused.Inc()
	}
	return err
}

// tenant returns the tenant of an id, a new one if need be.
func (c *Collector[T]) tenant(id string) (*tenant[T], error) {
	if t := c.lookup(id); t != nil {
		return t, nil
	}
	w, err := NewWindow(c.opts.Window, c.packing.join)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tenants[id]
	if t == nil {
		t = &tenant[T]{id: id, changes: &c.changes, version: c.changes.Add(1), window: w, last: math.MinInt64, asking: make(map[*watch[T]]struct{})}
		c.tenants[id] = t
		c.most = max(c.most, len(c.tenants))
		c.metrics.tenantIDs.Inc()
	}
	return t, nil
}

// lookup returns the tenant of an id, nil when the collector holds nothing of it.
func (c *Collector[T]) lookup(id string) *tenant[T] {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.tenants[id]
}

// Tenants returns the ids, sorted, of the tenants that the collector holds
// values of in memory: those heard of within the window, and those with
// values to be flushed.
func (c *Collector[T]) Tenants() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	ids := make([]string, 0, len(c.tenants))
	for id := range c.tenants {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Window returns how far back a question of At reaches.
func (c *Collector[T]) Window() time.Duration { return c.opts.Window }

// Ticked reports whether a tick has ended: Run, or Flush, has sealed what came
// before. Until then nobody knows that Run runs.
func (c *Collector[T]) Ticked() bool { return c.ticked.Load() }

// Pending returns the bytes of memory of the values that are not known to be
// discoverable yet.
func (c *Collector[T]) Pending() int64 { return c.pending.Load() }

// seal ends the current tick of every tenant, several at a time, and lets go
// of idle ones.
func (c *Collector[T]) seal() {
	c.sealing.Lock()
	defer c.sealing.Unlock()
	c.started.Store(min(c.now(), c.started.Load())) // earlier when the clock was set back
	tenants := c.present()
	inParallel(len(tenants), func(i int) { c.sealOne(tenants[i]) })
	c.shrink()
	c.packing.lately.Expire()
	c.lastSealed.Store(c.now())
	c.ticked.Store(true)
}

// present returns the tenants that are held in memory, in no order.
func (c *Collector[T]) present() []*tenant[T] {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Collect(maps.Values(c.tenants))
}

func (c *Collector[T]) sealOne(t *tenant[T]) {
	if p := t.seal(c.now); p != nil {
		c.metrics.values.Inc()
		c.outbox.put(p)
	} else if t.leave() {
		c.forget(t)
	}
}

// now is the clock's time in Unix nanoseconds.
func (c *Collector[T]) now() int64 { return c.opts.Now().UnixNano() }

// seal ends the tenant's current tick and returns its value to be flushed,
// nil when nothing arrived in it. It looks at the clock itself, so that no
// question has seen a later time while the tick was open.
func (t *tenant[T]) seal(now func() int64) *pending[T] {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.next(now())
	v, ok := t.window.seal(at)
	if !ok {
		return nil
	}
	t.last, t.version = at, t.changes.Add(1)
	p := &pending[T]{owner: t, value: v, size: t.size, due: time.Now(), done: make(chan struct{}),
		turn: make(chan struct{}, 1)}
	p.name(t.last)
	t.held = append(t.held, p)
	for w := range t.asking {
		w.sealed = append(w.sealed, p)
	}
	t.size, t.busy, t.adds = 0, t.adds > 1, 0
	return p
}

// backwards is how far a clock may go back, in nanoseconds, before it is taken
// to have been set.
const backwards = int64(time.Second)

// next returns the instant of the open tick if it ended now: one after the
// last, unless the clock was set back, which is followed.
func (t *tenant[T]) next(now int64) int64 {
	if now <= t.last && t.last-now < backwards {
		return t.last + 1
	}
	return now
}

// leave marks an idle tenant as forgotten; false when it is not idle.
func (t *tenant[T]) leave() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = len(t.held) == 0 && t.window.Empty()
	return t.gone
}

// drop forgets a value that has become discoverable.
func (t *tenant[T]) drop(p *pending[T]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = slices.DeleteFunc(t.held, func(h *pending[T]) bool { return h == p })
}

func (c *Collector[T]) forget(t *tenant[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tenants[t.id] == t {
		delete(c.tenants, t.id)
		c.metrics.tenantIDs.Dec()
	}
}

// shrink gives back the room of tenants that are gone: a map keeps what it once
// needed.
func (c *Collector[T]) shrink() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := len(c.tenants); left < c.most/4 {
		roomy := c.tenants
		c.tenants, c.most = make(map[string]*tenant[T], left), left
		maps.Copy(c.tenants, roomy)
	}
}

// Run seals every tick and flushes what was sealed, again and again where the
// store fails, until ctx ends or the collector is closed. It returns when all
// that it began has ended: with nil, or at once with an error when the
// collector was closed or run before. What is then pending is left to Close.
func (c *Collector[T]) Run(ctx context.Context) error {
	ended, err := c.begin()
	if err != nil {
		return err
	}
	defer close(ended)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error { c.work(ctx, func() bool { return false }); return nil })
	c.tick(ctx)
	cancel()
	return g.Wait()
}

// begin notes that Run runs.
func (c *Collector[T]) begin() (ended chan struct{}, err error) {
	c.life.Lock()
	defer c.life.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	if c.ended != nil {
		return nil, errors.New("collector: Run was called before")
	}
	c.ended = make(chan struct{})
	return c.ended, nil
}

// tick seals every tick, however long a flush takes.
func (c *Collector[T]) tick(ctx context.Context) {
	ticker := time.NewTicker(c.opts.Tick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			c.seal()
		case <-c.stop:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Flush seals the current ticks and returns when all that was sealed is
// discoverable. What fails it tries again until ctx ends, and then returns an
// *UndeliveredError; the values stay pending.
func (c *Collector[T]) Flush(ctx context.Context) error {
	c.seal()
	return c.drain(ctx)
}

// Close stops Run, refuses further values, and flushes like Flush. When it
// returns an error, of ctx or an *UndeliveredError, values are left; Close
// may be called again to try again.
func (c *Collector[T]) Close(ctx context.Context) error {
	c.life.Lock()
	if !c.closed {
		c.closed = true
		close(c.stop)
	}
	ended := c.ended
	c.life.Unlock()
	if ended != nil {
		select {
		case <-ended:
		case <-ctx.Done():
		}
	}
	return c.Flush(ctx)
}

// drain delivers the values that are pending now.
func (c *Collector[T]) drain(ctx context.Context) error {
	var mu sync.Mutex // guards left
	left := c.outbox.values()
	done := func() bool { // looks at each value once, however often it is asked
		mu.Lock()
		defer mu.Unlock()
		for len(left) > 0 && left[len(left)-1].delivered() {
			left = left[:len(left)-1]
		}
		return len(left) == 0
	}
	c.outbox.hurry(time.Now())
	c.work(ctx, done)
	left = slices.DeleteFunc(left, (*pending[T]).delivered)
	if len(left) == 0 {
		return nil
	}
	return undelivered(left)
}

func undelivered[T any](left []*pending[T]) error {
	e := &UndeliveredError{}
	for _, p := range left {
		p.mu.Lock()
		e.Values = append(e.Values, Undelivered{Tenant: p.owner.id, Time: p.entry.Time, Err: p.err})
		p.mu.Unlock()
	}
	slices.SortFunc(e.Values, func(a, b Undelivered) int { return int(min(max(a.Time-b.Time, -1), 1)) })
	return e
}
