package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/internal/idstest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

const (
	tick     = time.Second
	window   = 5 * tick
	deadline = 2 * time.Second // of an attempt of a flush
)

type ids = idstest.IDs

// world is a fleet: collectors and queriers, each with its own clock and its own way to the stores, which all share.
type world struct {
	testing.TB
	seed   uint64
	rng    *rand.Rand // the chaos's
	mutant mutant
	dir    string
	begun  time.Time

	entries *index.MemIndex
	blobs   *tiered.MemTier // the authority
	cache   *tiered.MemTier // as memcached
	nodes   []*node
	askers  []*asker
	model   model
	gone    []*stores   // of killed processes, whose requests may still be on their way
	lies    bool        // the authority lies in this run
	harsh   bool        // far more goes wrong
	calm    atomic.Bool // nothing more goes wrong
	disk    *disk       // of the only collector, where that is an embedded one; else nil
	stats   stats

	janitor   *janitor // deletes from outside of the collectors; nil where the store is a directory
	rolled    bool     // there are roll-ups
	deletions sync.WaitGroup
}

// stats count what happened, so that a simulation that tries nothing is noticed.
type stats struct {
	acked, refused, unknown, repeated  atomic.Int64
	exact, partial, failed             atomic.Int64 // answers
	kills, restarts, faults, clocksSet atomic.Int64
	stored                             atomic.Int64
	late                               atomic.Int64 // writes of harsh fleets that seemed to fail
	syncs, takenBack                   atomic.Int64 // of embedded collectors' stores; commits that were lost
	deletions, interrupted, deleted    atomic.Int64 // deletions by outcome; values that were deleted for sure
	seals, rollUpsRead                 atomic.Int64 // seals that were compared with their entries
}

// clock is a clock that differs from the true time, and that may be set.
type clock struct{ skew atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.skew.Load())) }

// newWorld makes a fleet from a seed. It must be called in a synctest bubble.
func newWorld(t testing.TB, seed uint64, m mutant) *world {
	w := &world{TB: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), mutant: m, dir: t.TempDir(), begun: time.Now(),
		entries: index.NewMemIndex(), blobs: new(tiered.MemTier), cache: &tiered.MemTier{Overwrite: true}}
	w.lies = m == "" && seed%20 == 19
	collectors := 1 + w.rng.IntN(3)
	embedded := false
	if w.harsh, embedded = isHarsh(seed); m == earlyDone || m == lostSync || m == "" && embedded {
		w.disk, collectors = &disk{world: w, entries: w.entries, blobs: w.blobs, rng: rand.New(rand.NewPCG(seed, 5))}, 1
	}
	w.roll()
	for i := range collectors {
		n := &node{world: w, name: fmt.Sprint("collector-", i), journal: filepath.Join(w.dir, fmt.Sprint("journal-", i)),
			small: m == "" && seed%7 == 6}
		n.skew.Store(int64(w.someSkew()))
		w.nodes = append(w.nodes, n)
		n.start()
	}
	for i := range 1 + w.rng.IntN(2) {
		a := &asker{world: w, stores: w.newStores(), number: i}
		a.skew.Store(int64(w.someSkew()))
		w.askers = append(w.askers, a)
		a.open()
	}
	if w.disk == nil {
		w.janitor = w.newJanitor()
	}
	return w
}

// someSkew is how wrong a clock is: seldom by much.
func (w *world) someSkew() time.Duration {
	switch w.rng.IntN(6) {
	case 0:
		return time.Duration(w.rng.Int64N(int64(time.Hour))) - 30*time.Minute
	case 1, 2:
		return time.Duration(w.rng.Int64N(int64(2*window))) - window
	}
	return 0
}

// all returns every way to the stores of the living.
func (w *world) all() (all []*stores) {
	for _, n := range w.nodes {
		if p := n.running(); p != nil {
			all = append(all, p.stores)
		}
	}
	for _, a := range w.askers {
		all = append(all, a.stores)
	}
	if w.janitor != nil {
		all = append(all, w.janitor.stores)
	}
	return all
}

// end heals everything, lets every collector store what it holds, and checks what is stored.
func (w *world) end() {
	w.calm.Store(true)
	for _, s := range slices.Concat(w.gone, w.all()) {
		s.heal()
	}
	w.connect()
	if w.disk != nil {
		w.disk.failSyncs(false)
	}
	for _, n := range w.nodes {
		n.stall.end()
		if n.running() == nil {
			n.start()
		}
	}
	if time.Sleep(time.Minute); !w.rolled { // flushing repeats what failed, and builders build
		time.Sleep(5 * time.Minute) // without levels, a request may take effect so late
	}
	w.checkSeals()
	w.lastDeletion()
	for _, a := range w.askers {
		a.last()
	}
	for _, n := range w.nodes {
		n.stop(true)
	}
	w.checkSeals()
	w.checkStored()
	w.janitor.close()
	for _, a := range w.askers {
		if err := a.store.Close(context.Background()); err != nil {
			w.Error(err)
		}
	}
	time.Sleep(time.Minute) // requests of killed processes end
}

// checkStored compares what a new process finds in healthy stores with the model.
func (w *world) checkStored() {
	s := w.newStores()
	store := s.open(w)
	defer func() { _ = store.Close(context.Background()) }()
	past, err := bucket.NewQuantizer(gateIndex{s, ""}, store, idstest.Merge, nil)
	if err != nil {
		w.Fatal(err)
	}
	for _, tenant := range tenants {
		a, err := past.Range(w.Context(), tenant, w.begun.Add(-far), w.begun.Add(far), &bucket.RangeOptions{Partial: w.lies})
		if err != nil {
			w.Errorf("what is stored of tenant %s: %v", tenant, err)
			continue
		}
		w.model.checkStored(w, tenant, a.Value, len(a.Missing))
	}
}

// far is further than any clock is wrong.
const far = 3 * time.Hour

var quiet = slog.New(slog.DiscardHandler)
