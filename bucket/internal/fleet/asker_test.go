package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/internal/idstest"
	"github.com/timeblob/timeblob/tiered"
)

// asker is a query service.
type asker struct {
	clock
	*stores
	world   *world
	number  int
	store   *tiered.Store[ids]
	querier *bucket.Querier[ids]
	links   []*link
	sources []bucket.Source[ids]
}

func (a *asker) open() {
	a.store = a.stores.open(a.world)
	var err error
	a.querier, err = bucket.NewQuerier(gateIndex{a.stores, a.world.mutant}, a.store, idstest.Merge,
		&bucket.QuantizerOptions[ids]{Quantum: time.Second, CacheBytes: 1 << 20, Now: a.now})
	if err != nil {
		a.world.Fatal(err)
	}
	for i, n := range a.world.nodes {
		l := &link{to: n, mutant: a.world.mutant, rng: rand.New(rand.NewPCG(a.world.seed, uint64(100+10*a.number+i)))}
		a.links, a.sources = append(a.links, l), append(a.sources, l)
	}
}

// run asks until ctx ends.
func (a *asker) run(ctx context.Context, rng *rand.Rand) {
	for ctx.Err() == nil {
		sleep(ctx, time.Duration(rng.Int64N(int64(800*time.Millisecond))))
		asking, cancel := context.WithTimeout(ctx, time.Duration(rng.Int64N(int64(4*time.Second))))
		a.ask(asking, rng)
		cancel()
	}
}

// ask asks one question, of any kind.
func (a *asker) ask(ctx context.Context, rng *rand.Rand) {
	w := a.world
	q := question{tenant: tenants[rng.IntN(len(tenants))], from: w.begun.Add(-far).UnixNano(), to: w.begun.Add(far).UnixNano()}
	opts := &bucket.RangeOptions{Partial: rng.IntN(4) == 0}
	kind := rng.IntN(6)
	if w.disk != nil {
		kind = 4 + kind%2 // nobody else can read a directory
	}
	switch kind {
	case 0, 1:
		a.judge("range", &q, func(from, to time.Time) (bucket.Answer[ids], error) {
			return a.querier.Range(ctx, q.tenant, from, to, a.sources, opts)
		})
	case 2, 3: // a part, often aligned to quanta, often ending about now
		back := time.Duration(rng.Int64N(int64(time.Minute)))
		from := time.Now().Add(-back)
		q.from, q.to = from.UnixNano(), from.Add(time.Duration(rng.Int64N(int64(back+2*tick)))).UnixNano()
		if rng.IntN(2) == 0 {
			q.from, q.to = q.from-q.from%int64(time.Second), q.to-q.to%int64(time.Second)
		}
		a.judge("part", &q, func(from, to time.Time) (bucket.Answer[ids], error) {
			return a.querier.Range(ctx, q.tenant, from, to, a.sources, opts)
		})
	case 4:
		if p := w.nodes[rng.IntN(len(w.nodes))].running(); p != nil {
			q.of = p.node
			a.judge("collector", &q, func(from, to time.Time) (bucket.Answer[ids], error) {
				answer, err := p.collector.Range(ctx, q.tenant, from, to, opts)
				return answer, p.unlessDead(err)
			})
		}
	case 5:
		if p := w.nodes[rng.IntN(len(w.nodes))].running(); p != nil {
			a.askLive(ctx, p, q.tenant)
		}
	}
}

// askLive asks a collector for its live window.
func (a *asker) askLive(ctx context.Context, p *process, tenant string) {
	now, set := p.node.now(), p.node.set.Load()
	if !p.collector.Live(now) {
		return
	}
	q := question{tenant: tenant, of: p.node, live: p, from: now.Add(-window).UnixNano() + slack, to: now.Add(tick).UnixNano() + 2*slack}
	a.judge("live", &q, func(time.Time, time.Time) (bucket.Answer[ids], error) {
		answer, err := p.collector.At(ctx, tenant, now, nil)
		if err == nil && (set != p.node.set.Load() || set > 0) {
			err = errors.New("the clock was set")
		}
		return answer, p.unlessDead(err)
	})
}

func (p *process) unlessDead(err error) error {
	if p.dead.Load() {
		return errDead
	}
	return err
}

// judge asks, and compares the answer with the model. An error says enough.
func (a *asker) judge(kind string, q *question, ask func(from, to time.Time) (bucket.Answer[ids], error)) {
	w := a.world
	begun, clocks := w.model.begin(*q), w.stats.clocksSet.Load()
	answer, err := ask(time.Unix(0, q.from), time.Unix(0, q.to))
	if err != nil || clocks != w.stats.clocksSet.Load() { // Held.Next promises nothing when a clock is set meanwhile
		w.stats.failed.Add(1)
		return
	}
	begun.provisional = !answer.Provisional.IsZero() && answer.Provisional.Before(time.Unix(0, q.to))
	if err := w.model.check(begun, answer.Value, len(answer.Missing) > 0); err != nil {
		w.Errorf("seed %d, %v after the start: %s of tenant %q: %v (missing %v)", w.seed, time.Since(w.begun), kind, q.tenant, err, answer.Missing)
	}
	if len(answer.Missing) > 0 {
		w.stats.partial.Add(1)
	} else {
		w.stats.exact.Add(1)
	}
}

// last asks when nothing fails any more: there must be whole answers.
func (a *asker) last() {
	w := a.world
	for _, tenant := range tenants {
		q := question{tenant: tenant, from: w.begun.Add(-far).UnixNano(), to: w.begun.Add(far).UnixNano()}
		a.judge("last range", &q, func(from, to time.Time) (bucket.Answer[ids], error) {
			answer, err := a.everything(tenant, from, to)
			if err != nil && !w.lies && w.deleteLeft(tenant, err) {
				answer, err = a.everything(tenant, from, to)
			}
			if (err != nil || len(answer.Missing) > 0) && !w.lies {
				w.Errorf("seed %d: nothing fails any more, and a question does: %v, missing %v", w.seed, err, answer.Missing)
			}
			return answer, err
		})
	}
}

// everything asks the query service or, where the store is a directory, its collector.
func (a *asker) everything(tenant string, from, to time.Time) (bucket.Answer[ids], error) {
	if a.world.disk != nil {
		return a.world.nodes[0].running().collector.Range(a.world.Context(), tenant, from, to, nil)
	}
	return a.querier.Range(a.world.Context(), tenant, from, to, a.sources, nil)
}

// link is the network between a query service and a collector.
type link struct {
	to     *node
	mutant mutant

	mu   sync.Mutex // guards what follows
	rng  *rand.Rand
	cut  bool
	slow time.Duration
}

// patience is how long a query service waits for a collector.
const patience = 500 * time.Millisecond

func (l *link) String() string { return l.to.name }

// set cuts the link, or makes it slow, or whole.
func (l *link) set(cut bool, slow time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut, l.slow = cut, slow
}

// delay is how long a message takes; 0 when it does not arrive.
func (l *link) delay() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return 0
	}
	return 1 + time.Duration(l.rng.Int64N(int64(time.Millisecond+l.slow)))
}

// travel waits until a message has arrived.
func (l *link) travel(ctx context.Context) error {
	d := l.delay()
	if d == 0 {
		d = 2 * patience
	}
	sleep(ctx, d)
	return ctx.Err()
}

// Held implements bucket.Source.
func (l *link) Held(ctx context.Context, tenant string, from, to time.Time) (bucket.Held[ids], error) {
	held, err := l.ask(ctx, tenant, from, to)
	return l.mutant.held(held, err)
}

func (l *link) ask(ctx context.Context, tenant string, from, to time.Time) (none bucket.Held[ids], err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := l.travel(ctx); err != nil {
		return none, err
	}
	p := l.to.running()
	if p == nil {
		return none, fmt.Errorf("%s: connection refused", l.to.name)
	}
	held, err := p.collector.Held(ctx, tenant, from, to)
	if err := errors.Join(p.unlessDead(err), l.travel(ctx)); err != nil {
		return none, err
	}
	return held, p.unlessDead(nil)
}
