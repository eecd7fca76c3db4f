package tiered_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/tiered"
)

// model is a plain map, and what is not known for certain: a Put that failed
// may have stored its blob.
type model struct {
	*house
	stored map[string]string
	maybe  map[string]string
	keys   []string
	next   int
	sick   bool // the authority has a fault
}

// TestModel does random operations on a store whose tiers fail at random and
// compares with the map: never a wrong value, never a silent absence, never an
// error without a cause, and all is right once all has healed.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		bubble(t, func(t *testing.T) {
			m := &model{stored: map[string]string{}, maybe: map[string]string{}, keys: []string{"absent"}}
			memory := rapid.SampledFrom([]int64{-1, 500, 1 << 20}).Draw(rt, "memory")
			m.house = newHouse(t, func(o *tiered.Options[string]) { o.Memory = memory })
			defer m.healAndWait(t)
			m.run(rt)
		})
	})
}

// bubble runs f on synthetic time and lets its panic, which is how rapid ends
// a case, go on outside.
func bubble(t *testing.T, f func(*testing.T)) {
	var ended any
	synctest.Test(t, func(t *testing.T) {
		defer func() { ended = recover() }()
		f(t)
	})
	if ended != nil {
		panic(ended)
	}
}

func (m *model) run(rt *rapid.T) {
	rt.Repeat(map[string]func(*rapid.T){
		"put":    m.put,
		"retake": m.retake,
		"get":    m.get,
		"one":    m.one,
		"fault":  m.fault,
		"rot":    m.rot,
		"heal":   func(*rapid.T) { m.heal() },
		"rest":   func(*rapid.T) { synctest.Wait() },
	})
	m.heal()
	m.check(rt, m.keys)
}

func (m *model) heal() {
	m.near.Heal()
	m.far.Heal()
	m.authority.Heal()
	m.sick = false
}

// put stores a new key.
func (m *model) put(rt *rapid.T) {
	key, value := fmt.Sprintf("key/%d", m.next), fmt.Sprintf("value %d", m.next)
	m.next++
	m.keys = append(m.keys, key)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	switch err := m.Put(ctx, key, seal(value)); {
	case err == nil:
		m.stored[key] = value
	case !m.sick || errors.Is(err, tiered.ErrExists):
		rt.Fatalf("Put of a new key: %v", err)
	default:
		m.maybe[key] = value
	}
}

// retake puts other bytes under a key that is stored.
func (m *model) retake(rt *rapid.T) {
	key := rapid.SampledFrom(m.keys).Draw(rt, "key")
	if m.stored[key] == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := m.Put(ctx, key, seal("usurper")); err == nil || !m.sick && !errors.Is(err, tiered.ErrExists) {
		rt.Fatalf("Put on a taken key: %v", err)
	}
}

func (m *model) get(rt *rapid.T) {
	m.check(rt, rapid.SliceOfN(rapid.SampledFrom(m.keys), 0, 12).Draw(rt, "keys"))
}

func (m *model) check(rt *rapid.T, keys []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	values, err := m.Get(ctx, keys)
	if err != nil && !m.sick {
		rt.Fatalf("Get: %v, though the authority is well", err)
	}
	lost := named(err)
	for key := range values {
		if !slices.Contains(keys, key) {
			rt.Fatalf("Get found key %q, which was not asked for", key)
		}
	}
	for _, key := range keys {
		v, found := values[key]
		m.judge(rt, key, v, found, slices.Contains(lost, key))
	}
}

func (m *model) one(rt *rapid.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	key := rapid.SampledFrom(m.keys).Draw(rt, "key")
	v, found, err := m.One(ctx, key)
	if err != nil && (!m.sick || !slices.Equal(named(err), []string{key})) {
		rt.Fatalf("One(%q): %v", key, err)
	}
	m.judge(rt, key, v, found, err != nil)
}

// judge compares what a read said of a key with what the map knows.
func (m *model) judge(rt *rapid.T, key, value string, found, failed bool) {
	want, stored := m.stored[key]
	switch {
	case found && failed:
		rt.Fatalf("key %q was found and failed", key)
	case found && value != want && value != m.maybe[key]:
		rt.Fatalf("key %q has value %q, want %q", key, value, want)
	case stored && !found && !failed:
		rt.Fatalf("key %q is silently absent", key)
	}
}

// fault injects something into one of the tiers.
func (m *model) fault(rt *rapid.T) {
	tier := rapid.SampledFrom([]*faulttest.Tier{m.near, m.far, m.authority}).Draw(rt, "tier")
	m.sick = m.sick || tier == m.authority
	fault := rapid.SampledFrom([]faulttest.Fault{
		{}, {Hang: true}, {Delay: 600 * time.Millisecond}, {Delay: 10 * time.Millisecond},
		{Op: faulttest.Get, Partial: true}, {Op: faulttest.Put, Applied: true},
		{Corrupt: true}, {Truncate: true}, {Stray: true},
	}).Draw(rt, "fault")
	fault.Every = rapid.IntRange(0, 3).Draw(rt, "every")
	fault.Times = rapid.IntRange(0, 3).Draw(rt, "times")
	if rapid.Bool().Draw(rt, "some keys") {
		fault.Match = func(c faulttest.Call) bool { return c.Key[len(c.Key)-1]%2 == 0 }
	}
	tier.Inject(fault)
}

// rot spoils what a cache holds.
func (m *model) rot(rt *rapid.T) {
	cache := rapid.SampledFrom([]*tiered.MemTier{m.nearBlobs, m.farBlobs}).Draw(rt, "cache")
	cache.Put(context.Background(), rapid.SampledFrom(m.keys).Draw(rt, "key"), []byte("rotten"))
}

// TestStorm runs readers and a writer on tiers that fail at random. Some readers give up.
func TestStorm(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *tiered.Options[string]) { o.Memory = 5_000 })
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	h.authority.Inject(faulttest.Fault{Op: faulttest.Get, Chance: 0.1, Partial: true})
	h.authority.Inject(faulttest.Fault{Op: faulttest.Get, Chance: 0.1, Delay: time.Millisecond})
	h.near.Inject(faulttest.Fault{Chance: 0.2, Corrupt: true})
	h.far.Inject(faulttest.Fault{Chance: 0.2})
	var known written
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() { readAtRandom(t, h, &known, rand.New(rand.NewPCG(seed, uint64(n)))) })
	}
	for _, key := range fixedKeys(300) {
		if err := h.Put(t.Context(), key, seal("value of "+key)); err != nil {
			t.Errorf("Put: %v", err)
		}
		known.add(key)
	}
	wg.Wait()
	h.near.Heal()
	h.far.Heal()
	h.authority.Heal()
	h.expect(t, fixedKeys(301), fixedKeys(300)...)
	h.healAndWait(t)
}

// written is the keys whose Put has returned.
type written struct {
	mu   sync.Mutex
	keys []string
}

func (w *written) add(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys = append(w.keys, key)
}

// some returns up to n+1 of the keys, each once, the latest among them. A key
// that is asked for twice could be found in memory once and fail once.
func (w *written) some(r *rand.Rand, n int) (keys []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for range min(n, len(w.keys)) {
		keys = append(keys, w.keys[r.IntN(len(w.keys))])
	}
	keys = append(keys, w.keys[max(0, len(w.keys)-1):]...)
	slices.Sort(keys)
	return slices.Compact(keys)
}

func readAtRandom(t *testing.T, h *house, known *written, r *rand.Rand) {
	for range 400 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(3))*time.Millisecond+time.Millisecond)
		keys := known.some(r, 6)
		values, err := h.Get(ctx, append(keys, "absent"))
		lost := named(err)
		for _, key := range keys {
			v, found := values[key]
			if found && v != "value of "+key || found == slices.Contains(lost, key) {
				t.Errorf("key %q: value %q, found %v, error %v", key, v, found, err)
			}
		}
		cancel()
	}
}
