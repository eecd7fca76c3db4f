package bucket

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/bucket/internal/outbox"
	"github.com/timeblob/timeblob/bucket/internal/unsynced"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/claims"
	"github.com/timeblob/timeblob/internal/gate"
	"github.com/timeblob/timeblob/internal/pause"
)

// Collector takes values of many tenants, merges the values of a tenant that
// arrive within a tick, makes each merged value discoverable in blobs and
// index, and answers for the live window and for any past range. It is safe
// for any number of goroutines.
//
// A value's instant is when its tick was sealed, unless it was added with one.
// From Add on it is in every answer that covers it, whether it has reached the
// index yet or not.
//
// A value takes this way: Add merges it into its tenant's open tick; Run seals
// the tick and hands its value to the outbox; a flush encodes the value, stores
// the blob and then puts its entry into the index, and repeats what fails.
type Collector[T any] struct {
	writer    *Writer
	blobs     Blobs[T]
	opts      CollectorOptions[T]
	user      *userFuncs[T]
	lazies    lazies[T]
	past      *Quantizer[T]
	buildsAll bool // roll-ups of every tenant that values come of
	metrics   *collectorMetrics
	id        string // differs from every other collector's

	shared   *shared[T]
	tenants  *registry[T]
	budget   budget
	outbox   *outbox.Outbox[*pending[T]]
	unsynced *unsynced.Set[*pending[T]] // values that are committed and may still be lost

	sealing     sealing[T]
	ticked      atomic.Bool  // a tick has ended
	lastRefused atomic.Int64 // when the journal refused a value last, Unix nanoseconds; 0: it takes values again
	firstAdd    atomic.Int64 // Unix nanoseconds; 0 before, -1 once the reminder to call Run is due no more

	deleting claims.Claims // of tenants whose values are being deleted

	adding gate.Gate     // the Adds under way; Close closes it
	stop   chan struct{} // closed by Close
	life   sync.Mutex    // guards what follows
	closed bool          // stop is closed
	ended  chan struct{} // closed when Run returns; nil before Run
}

// NewCollector returns a collector over an index and a blob store. It does
// nothing by itself: call Run to seal and flush every tick, or Flush by hand,
// and Close in the end.
func NewCollector[T any](idx index.Index, blobs Blobs[T], merge Merge[T], opts *CollectorOptions[T]) (*Collector[T], error) {
	if idx == nil || blobs == nil || merge == nil {
		return nil, errors.New("collector: needs an index, a blob store and a merge function")
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("collector: %w", err)
	}
	past, err := NewQuantizer(idx, blobs, merge, &o.Past)
	if err != nil {
		return nil, err
	}
	c := &Collector[T]{writer: &Writer{idx, past.protocol, o.Deadline}, blobs: blobs, opts: o, past: past, id: rand.Text(), stop: make(chan struct{}),
		outbox: outbox.New[*pending[T]](outbox.Options{Workers: o.Flushes, MaxWorkers: o.FlushesMax,
			Backoff: o.Backoff, MaxBackoff: o.MaxBackoff, Slow: o.Deadline / 4, Stuck: 3 * o.Deadline}),
		unsynced: unsynced.New[*pending[T]](unsynced.Options{First: min(o.Tick, o.SyncEvery), Every: o.SyncEvery, Bytes: o.SyncBytes})}
	c.buildsAll = o.Past.Levels != nil && o.Past.Levels.Build == BuildAll
	if c.metrics, err = newCollectorMetrics(o.Registerer, o.Namespace); err != nil {
		return nil, fmt.Errorf("collector: metrics: %w", err)
	}
	c.metrics.limit.Add(float64(o.MaxPending))
	if err := c.wire(merge); err != nil {
		return nil, err
	}
	return c, c.replay()
}

// wire makes what the tenants share.
func (c *Collector[T]) wire(merge Merge[T]) (err error) {
	c.user = newUserFuncs(c.blobs, merge, &c.opts)
	if c.lazies, err = newLazies(c.user, &c.opts); err != nil {
		return fmt.Errorf("collector: %w", err)
	}
	c.budget = budget{limit: c.opts.MaxPending, limitOf: c.opts.tenantLimit, gauge: c.metrics.bytes}
	c.shared = &shared[T]{opts: &c.opts, user: c.user, lazies: &c.lazies, budget: &c.budget, outbox: c.outbox,
		sealed: c.metrics.values.Inc}
	c.tenants = &registry[T]{limit: c.opts.MaxTenants, newTenant: c.shared.newTenant, gauge: c.metrics.tenantIDs}
	c.shared.forgotten.Store(math.MinInt64)
	c.shared.begun, c.shared.born = c.opts.Now(), time.Now()
	c.shared.started.Store(c.shared.begun.UnixNano())
	c.shared.lastSealed.Store(c.now())
	return nil
}

// Past returns what answers from the index and the blobs alone, and yields raw
// blobs.
func (c *Collector[T]) Past() *Quantizer[T] { return c.past }

// now is the clock's time in Unix nanoseconds.
func (c *Collector[T]) now() int64 { return c.shared.now() }

// Run seals every tick and flushes what was sealed, again and again where the
// store fails, until ctx ends or the collector is closed. It returns when all
// that it began has ended: with nil, or at once with an error when the
// collector was closed or run before. Close then handles the pending values.
func (c *Collector[T]) Run(ctx context.Context) error {
	ended, err := c.begin()
	if err != nil {
		return err
	}
	defer close(ended)
	defer c.shared.running.Store(false)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error { c.outbox.Work(ctx, c.try, func() bool { return false }); return nil })
	g.Go(func() error { c.build(ctx); return nil })
	g.Go(func() error { c.syncAgain(ctx); return nil })
	c.tick(ctx)
	cancel()
	return g.Wait()
}

// build builds roll-ups until ctx ends. A collector goes on without them.
func (c *Collector[T]) build(ctx context.Context) {
	if err := c.past.Build(ctx); err != nil && ctx.Err() == nil {
		c.opts.Logger.Error("no roll-ups are built", "err", err)
	}
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
	c.shared.running.Store(true)
	c.firstAdd.Store(-1)
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

// ticksWithoutRun is after how many ticks of values a collector that nobody runs
// or flushes says so in the log.
const ticksWithoutRun = 3

// remindOfRun logs, once, that values come and no tick ends.
func (c *Collector[T]) remindOfRun() {
	first := c.firstAdd.Load()
	switch {
	case first < 0:
		return
	case c.ticked.Load():
		c.firstAdd.Store(-1)
	case first == 0:
		c.firstAdd.CompareAndSwap(0, max(c.now(), 1))
	case c.now()-first >= ticksWithoutRun*int64(c.opts.Tick) && c.firstAdd.CompareAndSwap(first, -1):
		c.opts.Logger.Warn("values are added and nothing stores them: call the collector's Run, or Flush",
			"since", time.Unix(0, first))
	}
}

// Flush seals the open ticks and returns when all that was sealed is
// discoverable. It tries again what fails until ctx ends, and then returns an
// *UndeliveredError that wraps the context's error; the values stay pending. A value
// whose earlier attempt may still take effect may have to wait for that, see LevelOptions.Linger.
// Values that can never be stored are not waited for: CollectorOptions.Failed
// is told of them, and Flush waits for it to return, but for three Deadlines at most.
func (c *Collector[T]) Flush(ctx context.Context) error {
	unsealed := c.sealAll(ctx)
	return c.drain(ctx, unsealed)
}

// Close stops Run, refuses further values, and flushes like Flush. Without a Journal it does
// not wait for what earlier attempts may still do: the log then warns of a value that may
// be stored twice. When it returns an error values are left, or are still being added, and
// Close may be called again.
func (c *Collector[T]) Close(ctx context.Context) error {
	added, ended := c.adding.Close(), c.end()
	for _, over := range []<-chan struct{}{added, ended} {
		select {
		case <-over:
		case <-ctx.Done():
		}
	}
	if err := c.Flush(ctx); err != nil {
		return err
	}
	select {
	case <-added:
		return nil
	default:
		return fmt.Errorf("close: values are still being added: %w", context.Cause(ctx))
	}
}

// end has Run end. It returns a channel that is closed when Run has ended.
func (c *Collector[T]) end() <-chan struct{} {
	c.life.Lock()
	defer c.life.Unlock()
	if !c.closed {
		c.closed = true
		close(c.stop)
	}
	if c.ended == nil { // Run was never called
		c.ended = make(chan struct{})
		close(c.ended)
	}
	return c.ended
}

// closing reports whether Close was called.
func (c *Collector[T]) closing() bool {
	c.life.Lock()
	defer c.life.Unlock()
	return c.closed
}

// drain delivers the values that are pending now, and waits until no crash can
// take them back. Unsealed are ticks that ctx has ended before.
func (c *Collector[T]) drain(ctx context.Context, unsealed []Undelivered) error {
	left, busy := c.pendingValues(ctx)
	for _, u := range busy {
		if !slices.ContainsFunc(unsealed, func(known Undelivered) bool { return known.Tenant == u.Tenant }) {
			unsealed = append(unsealed, u)
		}
	}
	for {
		left = c.deliverAll(ctx, left)
		if len(left)+len(unsealed) == 0 {
			c.awaitFailed(ctx)
			return nil
		}
		if ctx.Err() != nil {
			return undelivered(left, unsealed, ctx.Err())
		}
		if err := c.syncNow(ctx); err != nil || slices.ContainsFunc(left, (*pending[T]).awaitsSync) { // another call may still note that it has synced them
			_ = pause.For(ctx, c.opts.Backoff)
		}
	}
}

// awaitFailed waits until Failed has returned for values that were given up, but not for
// long: it may hang, or call Flush itself.
func (c *Collector[T]) awaitFailed(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Deadline)
	defer cancel()
	c.outbox.Await(ctx, (*pending[T]).finished)
}

// pendingValues returns every value that is not finished, and some that are, and the
// tenants that it could not ask before ctx ended.
func (c *Collector[T]) pendingValues(ctx context.Context) (all []*pending[T], busy []Undelivered) {
	all = c.outbox.Values() // withdrawn values too
	seen := make(map[*pending[T]]bool, len(all))
	for _, p := range all {
		seen[p] = true
	}
	for _, t := range c.tenants.all() {
		held, err := t.holding(ctx)
		if err != nil {
			busy = append(busy, c.unsealed(t.id))
		}
		for _, p := range held {
			if !seen[p] {
				all = append(all, p)
			}
		}
	}
	return all, busy
}

// deliverAll tries values until all of them are finished, or only await a sync, or ctx ends.
// It returns the values that are not finished.
func (c *Collector[T]) deliverAll(ctx context.Context, left []*pending[T]) []*pending[T] {
	var mu sync.Mutex // guards left and committed
	var committed []*pending[T]
	done := func() bool { // looks at each value once, however often it is asked
		mu.Lock()
		defer mu.Unlock()
		for len(left) > 0 {
			last := left[len(left)-1]
			switch {
			case last.finished():
				left = append(left[:len(left)-1], last.partsOf()...)
			case last.awaitsSync():
				left, committed = left[:len(left)-1], append(committed, last)
			default:
				return false
			}
		}
		return true
	}
	c.outbox.Hurry()
	c.outbox.Work(ctx, c.try, done)
	done()
	return append(committed, left...)
}

// undelivered returns the error about values that are not finished.
func undelivered[T any](left []*pending[T], unsealed []Undelivered, cause error) error {
	e := &UndeliveredError{Values: unsealed, Cause: cause}
	for _, p := range unfinished(left) {
		e.Values = append(e.Values, p.undelivered())
	}
	if len(e.Values) == 0 {
		return nil
	}
	slices.SortFunc(e.Values, func(a, b Undelivered) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Tenant, b.Tenant))
	})
	return e
}

// unfinished returns the values that need another attempt. In the place of a value
// that was split it returns the halves.
func unfinished[T any](values []*pending[T]) (left []*pending[T]) {
	for _, p := range values {
		if p.finished() {
			left = append(left, unfinished(p.partsOf())...)
		} else {
			left = append(left, p)
		}
	}
	return left
}
