package fleet

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/faulttest"
)

// turmoil is how long things go wrong.
func (w *world) turmoil() time.Duration {
	if w.harsh {
		return 80 * time.Second
	}
	return 40 * time.Second
}

// run lets clients send, query services ask and things go wrong, and then checks what is left.
func (w *world) run() {
	ctx, cancel := context.WithTimeout(context.Background(), w.turmoil())
	defer cancel()
	var wg sync.WaitGroup
	for i, n := range w.nodes {
		c := &client{world: w, node: n, rng: rand.New(rand.NewPCG(w.seed, uint64(10+i)))}
		wg.Go(func() { c.run(ctx) })
	}
	for i, a := range w.askers {
		wg.Go(func() { a.run(ctx, rand.New(rand.NewPCG(w.seed, uint64(20+i)))) })
	}
	for ctx.Err() == nil {
		w.mutant.look(w)
		if w.rng.IntN(3) == 0 {
			synctest.Wait()
			w.checkSeals()
		}
		sleep(ctx, time.Duration(w.rng.Int64N(int64(3*time.Second))))
		w.harm(ctx)
		if w.harsh {
			w.harmMore(ctx)
		}
	}
	for _, n := range w.nodes {
		n.stall.end()
	}
	wg.Wait()
	w.deletions.Wait()
	synctest.Wait()
	w.end()
}

// harm lets one thing go wrong.
func (w *world) harm(ctx context.Context) {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	switch w.rng.IntN(20) {
	case 0, 1:
		n.kill()
		w.perhapsStart(ctx, n)
	case 2:
		n.stop(false)
		w.perhapsStart(ctx, n)
	case 3, 4, 5:
		w.startAll()
	case 6:
		n.stall.begin(w.rng.IntN(2) == 0)
		w.after(n.stall.end)
	case 7:
		w.setClock(n)
	case 8:
		w.cutLinks()
	case 9:
		w.spoilCache()
		w.spoilDisk()
	case 10, 11, 12:
		w.delete(ctx)
	case 13: // all processes lose the stores at the same time
		f := w.outage()
		for _, s := range w.all() {
			s.index.Inject(f)
			s.authority.Inject(f)
			w.after(s.heal)
		}
	default:
		all := w.all()
		s := all[w.rng.IntN(len(all))]
		w.injectFault(s)
		w.after(s.heal)
	}
}

func (w *world) startAll() {
	for _, n := range w.nodes {
		if n.running() == nil {
			n.start()
		}
	}
}

// perhapsStart starts a collector soon after its end, while its clients still repeat what they sent, or leaves it.
func (w *world) perhapsStart(ctx context.Context, n *node) {
	if w.rng.IntN(3) > 0 && n.running() == nil {
		sleep(ctx, time.Duration(w.rng.Int64N(int64(time.Second))))
		n.start()
	}
}

// after calls a function some seconds later.
func (w *world) after(f func()) {
	time.AfterFunc(time.Duration(w.rng.Int64N(int64(8*time.Second))), f)
}

func (w *world) setClock(n *node) {
	by := w.someSkew()
	if n.repeats.Load() > 0 { // this clock has no monotonic reading by which ids are remembered
		return
	}
	w.stats.clocksSet.Add(1)
	n.set.Add(1)
	w.model.clockSet(n)
	n.skew.Store(int64(by))
}

func (w *world) cutLinks() {
	a := w.askers[w.rng.IntN(len(w.askers))]
	for _, l := range a.links {
		switch w.rng.IntN(3) {
		case 0:
			l.set(true, 0)
		case 1:
			l.set(false, time.Duration(w.rng.Int64N(int64(patience))))
		}
	}
	w.after(func() {
		for _, l := range a.links {
			l.set(false, 0)
		}
	})
}

// spoilDisk lets an embedded collector's store fail to sync for a while.
func (w *world) spoilDisk() {
	if w.disk != nil {
		w.disk.failSyncs(true)
		w.after(func() { w.disk.failSyncs(false) })
	}
}

// connect makes every link whole.
func (w *world) connect() {
	for _, a := range w.askers {
		for _, l := range a.links {
			l.set(false, 0)
		}
	}
}

// spoilCache does what anybody who can write to memcached can do.
func (w *world) spoilCache() {
	ctx := context.Background()
	var keys []string
	for key, err := range w.blobs.List(ctx, "", 0, 0) {
		if err != nil {
			w.Error(err)
		}
		keys = append(keys, key)
	}
	for range min(len(keys), 20) {
		key, other := keys[w.rng.IntN(len(keys))], keys[w.rng.IntN(len(keys))]
		blobs, err := w.blobs.Get(ctx, []string{other})
		switch {
		case err != nil:
			w.Error(err)
		case w.rng.IntN(3) == 0:
			err = w.cache.Delete(ctx, []string{key})
		case w.rng.IntN(3) == 0:
			err = w.cache.Put(ctx, key, blobs[0][:len(blobs[0])/2])
		default:
			err = w.cache.Put(ctx, key, blobs[0])
		}
		if err != nil {
			w.Error(err)
		}
	}
	w.stats.faults.Add(1)
}

// forIndex leaves out what package local cannot do: make a write after a later one of the same key. A disk has late
// commits of its own.
func (w *world) forIndex(faults []faulttest.Fault) []faulttest.Fault {
	if w.disk == nil {
		return faults
	}
	return slices.DeleteFunc(faults, func(f faulttest.Fault) bool { return f.Behind > 0 })
}

// outage is how stores are away.
func (w *world) outage() faulttest.Fault {
	w.stats.faults.Add(1)
	if w.rng.IntN(2) == 0 {
		return faulttest.Fault{Hang: true}
	}
	return faulttest.Fault{Err: errStore}
}

// injectFault lets one of a process's stores fail in some way.
func (w *world) injectFault(s *stores) {
	w.stats.faults.Add(1)
	chance := 0.1 + 0.9*w.rng.Float64()
	choose := func(faults ...faulttest.Fault) faulttest.Fault {
		f := faults[w.rng.IntN(len(faults))]
		f.Chance = chance
		return f
	}
	delay := time.Duration(w.rng.Int64N(int64(2 * deadline)))
	late := 1 + w.rng.IntN(20)
	const writes = faulttest.Put | faulttest.Delete | faulttest.Swap
	both := []faulttest.Fault{
		{Err: errStore}, {Hang: true}, {Delay: delay}, {Op: writes, Applied: true, Err: errStore},
		{Op: writes, Applied: true, Hang: true}, {Op: writes, Behind: late, Err: errStore},
	}
	reads := []faulttest.Fault{
		{Op: faulttest.Get, Corrupt: true}, {Op: faulttest.Get, Truncate: true}, {Op: faulttest.Get, Misplace: true},
		{Op: faulttest.Get, Partial: true, Err: errStore}, {Op: faulttest.Get, Stray: true},
	}
	switch w.rng.IntN(4) {
	case 0:
		s.index.Inject(choose(w.forIndex(both)...))
		time.AfterFunc(time.Duration(w.rng.Int64N(int64(linger-time.Second))), s.index.Heal)
	case 1:
		s.authority.Inject(choose(both...))
	case 2:
		s.authority.Inject(choose(append(reads, faulttest.Fault{Op: faulttest.Put, Behind: late})...))
	case 3:
		s.cache.Inject(choose(append(append(reads, both...), faulttest.Fault{Op: faulttest.Put, Lie: true},
			faulttest.Fault{Op: faulttest.Put, Behind: late})...))
	}
	if w.lies {
		s.authority.Inject(faulttest.Fault{Op: faulttest.Put, Lie: true, Times: 2})
	}
}
