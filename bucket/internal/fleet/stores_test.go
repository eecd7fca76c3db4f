package fleet

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/internal/idstest"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// stores is one process's way to the stores.
type stores struct {
	world            *world
	index            *faulttest.Levels
	authority, cache *faulttest.Tier
	dead             atomic.Bool
	skewed           time.Duration // how far its idea of the store's time is wrong

	mu  sync.Mutex // guards rng
	rng *rand.Rand
}

func (w *world) newStores() *stores {
	n := uint64(len(w.gone))
	s := &stores{world: w, rng: rand.New(rand.NewPCG(w.seed, 1000+n))}
	s.skewed = time.Duration(s.rng.Int64N(int64(2*storeSkew))) - storeSkew
	var entries faulttest.Whole = w.entries
	if w.disk != nil {
		entries, s.skewed = diskOf{w.disk, s}, 0
	}
	if w.harsh && w.disk == nil {
		entries = w.lateIndex(entries, n)
	}
	s.index = faulttest.NewLevels(entries, w.seed+n)
	s.authority, s.cache = faulttest.NewTier(w.blobs, w.seed+n+1), faulttest.NewTier(w.cache, w.seed+n+2)
	return s
}

func (s *stores) heal() {
	s.index.Heal()
	s.authority.Heal()
	s.cache.Heal()
}

// errDead is what a process that was killed gets: it sends no more requests.
var errDead = fmt.Errorf("the process is dead")

// travel takes the time of a request. A process that is killed meanwhile has not sent it.
func (s *stores) travel(ctx context.Context) error {
	s.mu.Lock()
	d := time.Duration(s.rng.Int64N(int64(12 * time.Millisecond)))
	s.mu.Unlock()
	if !s.dead.Load() {
		sleep(ctx, d)
	}
	if s.dead.Load() {
		return errDead
	}
	return ctx.Err()
}

// answer takes the time of an answer to a write.
func (s *stores) answer() { _ = s.travel(context.Background()) }

// gateIndex and gateTier let no request of a dead process out.
type gateIndex struct {
	*stores
	mutant mutant
}

func (g gateIndex) Put(ctx context.Context, row index.Row, e index.Entry) error {
	if err := g.travel(ctx); err != nil {
		return err
	}
	defer g.answer()
	return g.index.Put(ctx, row, e)
}

func (g gateIndex) Query(ctx context.Context, row index.Row, from, to int64) ([]index.Entry, error) {
	if err := g.travel(ctx); err != nil {
		return nil, err
	}
	entries, err := g.index.Query(ctx, row, from, to)
	return g.mutant.entries(entries), err
}

// Delete implements index.Deleter.
func (g gateIndex) Delete(ctx context.Context, row index.Row, entries []index.Entry) error {
	if err := g.travel(ctx); err != nil {
		return err
	}
	return g.index.Delete(ctx, row, entries)
}

// Places implements index.Places.
func (g gateIndex) Places(ctx context.Context, set index.PlaceSet, from, to int64) ([]index.Place, error) {
	if err := g.travel(ctx); err != nil {
		return nil, err
	}
	return g.index.Places(ctx, set, from, to)
}

// SwapPlace implements index.Places.
func (g gateIndex) SwapPlace(ctx context.Context, set index.PlaceSet, old string, next index.Place) (bool, error) {
	if err := g.travel(ctx); err != nil {
		return false, err
	}
	defer g.answer()
	return g.index.SwapPlace(ctx, set, old, next)
}

// StoreTime implements index.Places.
func (g gateIndex) StoreTime() time.Time { return time.Now().Add(g.skewed) }

// Scan implements index.Scanner: it queries each row that has entries.
func (g gateIndex) Scan(ctx context.Context, tenant string, from, to int64) iter.Seq2[index.Entry, error] {
	return func(yield func(index.Entry, error) bool) {
		last := index.Row{Hour: -1}
		for e := range g.world.entries.Scan(ctx, tenant, from, to) {
			row := index.RowAt(tenant, e.Time)
			if row == last {
				continue
			}
			last = row
			entries, err := g.Query(ctx, row, from, to)
			if err != nil {
				yield(index.Entry{}, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// ownIndex is the index of an embedded collector: it counts its own writes.
type ownIndex struct{ gateIndex }

// Version implements index.Versioned.
func (x ownIndex) Version(tenant string, from, to int64) (uint64, bool) {
	return x.world.entries.Version(tenant, from, to)
}

// indexOf returns a collector's index.
func (s *stores) indexOf() index.Index {
	if s.world.disk != nil {
		return ownIndex{gateIndex{s, ""}}
	}
	return gateIndex{s, ""}
}

type gateTier struct {
	*stores
	tier *faulttest.Tier
}

func (g gateTier) Put(ctx context.Context, key string, blob []byte) error {
	if err := g.travel(ctx); err != nil {
		return err
	}
	return g.tier.Put(ctx, key, blob)
}

func (g gateTier) Get(ctx context.Context, keys []string) ([][]byte, error) {
	if err := g.travel(ctx); err != nil {
		return nil, err
	}
	for _, key := range keys {
		if isRollUp(key) {
			g.world.stats.rollUpsRead.Add(1)
		}
	}
	return g.tier.Get(ctx, keys)
}

func isRollUp(key string) bool { return strings.HasPrefix(key, "rollup/") }

// Delete implements tiered.Deleter.
func (g gateTier) Delete(ctx context.Context, keys []string) error {
	if err := g.travel(ctx); err != nil {
		return err
	}
	return g.tier.Delete(ctx, keys)
}

// List implements tiered.Lister.
func (g gateTier) List(ctx context.Context, prefix string, from, to int64) iter.Seq2[string, error] {
	if err := g.travel(ctx); err != nil {
		return func(yield func(string, error) bool) { yield("", err) }
	}
	return g.tier.List(ctx, prefix, from, to)
}

// open returns a store of values on the way of one process.
func (s *stores) open(t testing.TB) *tiered.Store[ids] {
	store, err := tiered.New(idstest.Codec{}, gateTier{s, s.authority}, &tiered.Options[ids]{Memory: 8 << 10,
		Caches: []tiered.Cache{{Name: "memcached", Tier: gateTier{s, s.cache}}}})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// idsOf returns what a blob in the authority holds, nothing when there is no such blob.
func (w *world) idsOf(keys ...string) (all ids) {
	blobs, err := w.blobs.Get(context.Background(), keys)
	if err != nil {
		w.Error(err)
		return nil
	}
	for i, blob := range blobs {
		if blob == nil {
			continue
		}
		v, err := idstest.Codec{}.Decode(blob)
		if err != nil {
			w.Errorf("blob %s: %v", keys[i], err)
		}
		all = append(all, v...)
	}
	slices.Sort(all)
	return all
}

// storedBy notes what has become discoverable.
func (w *world) storedBy(tenant string, e index.Entry, _ int) { w.model.stored(w.idsOf(e.Key), e.Time) }

var (
	_ bucket.BlobDeleter = gateTier{}
	_ index.Places       = gateIndex{}
	_ index.Scanner      = gateIndex{}
	_ index.Versioned    = ownIndex{}
)

var errStore = errors.New("the store failed")
