package fleet

import (
	"context"
	"flag"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
)

var harshly = flag.String("harsh", "", "make every fleet a harsh one: late (a shared index) or disk (an embedded collector); or none")

// isHarsh reports whether a seed's fleet is a harsh one, and embedded whether it has one embedded collector. In a harsh
// fleet far more writes to the index take effect late, or seem to fail; far more is deleted; values of several collectors
// have the same instant; more processes are killed; and more syncs fail.
func isHarsh(seed uint64) (harsh, embedded bool) {
	switch *harshly {
	case "late":
		return true, false
	case "disk":
		return true, true
	case "none":
		return false, seed%5 == 3
	}
	return seed%10 == 7 || seed%10 == 8, seed%5 == 3
}

// latest is how long after it was sent a write may take effect: never longer than the linger after its sender gave it up.
const latest = linger - 100*time.Millisecond

// lateIndex is the way of one process of a harsh fleet to the index. Some writes take effect late, some take effect and
// seem to fail, and some do both: their request comes twice.
type lateIndex struct {
	faulttest.Whole
	world  *world
	chance float64

	mu  sync.Mutex // guards rng
	rng *rand.Rand
}

func (w *world) lateIndex(of faulttest.Whole, n uint64) *lateIndex {
	rng := rand.New(rand.NewPCG(w.seed, 2000+n))
	return &lateIndex{Whole: of, world: w, chance: 0.1 + 0.4*rng.Float64(), rng: rng}
}

// trouble is what happens to a write. A write that a fault has withheld already has no deadline, and no trouble.
type trouble struct {
	some       bool
	now, later bool // when it takes effect
	hangs      bool // it is answered when its context ends
	after      time.Duration
}

func (x *lateIndex) trouble(ctx context.Context) (t trouble) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, bounded := ctx.Deadline(); !bounded || x.world.calm.Load() || x.rng.Float64() >= x.chance {
		return trouble{}
	}
	t.some, t.hangs = true, x.rng.IntN(3) == 0
	t.now, t.later = x.rng.IntN(3) == 0, x.rng.IntN(3) > 0
	t.after = time.Duration(x.rng.Int64N(int64(latest)))
	return t
}

// write makes a write, or lets something happen to it.
func (x *lateIndex) write(ctx context.Context, do func(context.Context) error) error {
	t := x.trouble(ctx)
	if !t.some {
		return do(ctx)
	}
	if t.now {
		_ = do(ctx)
	}
	if t.later {
		time.AfterFunc(t.after, func() { _ = do(context.WithoutCancel(ctx)) })
	}
	x.world.stats.late.Add(1)
	if t.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return errStore
}

// Put implements index.Index.
func (x *lateIndex) Put(ctx context.Context, row index.Row, e index.Entry) error {
	return x.write(ctx, func(ctx context.Context) error { return x.Whole.Put(ctx, row, e) })
}

// Delete implements index.Deleter.
func (x *lateIndex) Delete(ctx context.Context, row index.Row, entries []index.Entry) error {
	return x.write(ctx, func(ctx context.Context) error { return x.Whole.Delete(ctx, row, entries) })
}

// SwapPlace implements index.Places.
func (x *lateIndex) SwapPlace(ctx context.Context, set index.PlaceSet, old string, next index.Place) (swapped bool, err error) {
	var mu sync.Mutex // guards did
	var did bool
	err = x.write(ctx, func(ctx context.Context) error {
		now, err := x.Whole.SwapPlace(ctx, set, old, next)
		mu.Lock()
		defer mu.Unlock()
		did = now
		return err
	})
	mu.Lock()
	defer mu.Unlock()
	return did && err == nil, err
}

// harmMore lets one more thing go wrong in a harsh fleet.
func (w *world) harmMore(ctx context.Context) {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	switch w.rng.IntN(8) {
	case 0, 1, 2, 3:
		w.delete(ctx)
	case 4:
		n.kill()
		w.perhapsStart(ctx, n)
	case 5:
		n.stop(false)
		w.perhapsStart(ctx, n)
	case 6:
		w.startAll()
	case 7:
		w.spoilDisk()
	}
}

// wholeSecond is an instant of the last seconds that others choose, too.
func wholeSecond(rng *rand.Rand) time.Time {
	return time.Now().Truncate(time.Second).Add(-time.Duration(rng.IntN(8)) * time.Second)
}
