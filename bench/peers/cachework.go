package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	batchKeys = 50
	missing   = 10 // of a batch, in the read-through
)

func keyOf(i int) string { return fmt.Sprintf("tenant-key-%09d", i) }

func keysFrom(first, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = keyOf(first + i)
	}
	return keys
}

func cacheWork(s scale) []work {
	one := func(cores int) func(openCache) contender {
		return func(c openCache) contender { return hitOne(s, c, cores) }
	}
	all := fmt.Sprintf("%d keys of 1 kB, Zipf 1.01, all in memory", s.keys)
	return []work{
		{name: "cache: hit of one key, 1 core; " + all, unit: "ns", contenders: each(one(1))},
		{name: "cache: hit of one key, 2 cores; " + all, unit: "ns", contenders: each(one(2))},
		{name: "cache: hit of a batch of 50; " + all, unit: "µs", contenders: each(func(c openCache) contender { return hitBatch(s, c) })},
		{name: "cache: hit of a batch of 50", unit: "allocations", contenders: each(func(c openCache) contender { return batchAllocations(s, c) })},
		{name: fmt.Sprintf("cache: read-through of %d callers × 50 keys, 10 missing", s.callers), unit: "allocations",
			contenders: each(func(c openCache) contender { return readThrough(s, c, false) })},
		{name: fmt.Sprintf("cache: read-through of %d callers × 50 keys, 10 missing (10 is each once)", s.callers), unit: "keys fetched",
			contenders: each(func(c openCache) contender { return readThrough(s, c, true) })},
		{name: "cache: hit ratio at a budget of 1 %, Zipf 1.01", unit: "% hits", more: true,
			contenders: each(func(c openCache) contender { return zipfRatio(s, c) })},
		{name: "cache: hit ratio of live keys (half a budget) right after a scan of 7 × the budget, beside which they are read", unit: "% hits", more: true,
			contenders: each(func(c openCache) contender { return scanRatio(s, c) })},
	}
}

func each(of func(openCache) contender) []contender {
	var all []contender
	for _, c := range caches {
		contender := of(c)
		contender.name, contender.note = c.name, c.note
		all = append(all, contender)
	}
	return all
}

// warm opens a cache that holds all keys of the scale.
func warm(s scale, open openCache) (cache, *source, error) {
	from := new(source)
	c, err := open.open(2*s.keys, from)
	if err != nil {
		return nil, nil, err
	}
	if err := fill(c, keysFrom(0, s.keys)); err != nil {
		return nil, nil, err
	}
	for _, key := range keysFrom(0, s.keys) {
		if !c.get(key) {
			return nil, nil, fmt.Errorf("%s is not in memory", key)
		}
	}
	return c, from, nil
}

// waiter is a cache that writes beside its callers.
type waiter interface{ Wait() }

func fill(c cache, keys []string) error {
	for len(keys) > 0 {
		n := min(batchKeys, len(keys))
		if _, err := c.batch(keys[:n])(context.Background()); err != nil {
			return err
		}
		if w, ok := c.(waiter); ok {
			w.Wait()
		}
		keys = keys[n:]
	}
	return nil
}

// zipf returns n keys, the same ones in every run.
func zipf(keys, n int, seed uint64) []string {
	z := rand.NewZipf(rand.New(rand.NewPCG(seed, 1)), 1.01, 1, uint64(keys-1))
	all, chosen := keysFrom(0, keys), make([]string, n)
	for i := range chosen {
		chosen[i] = all[z.Uint64()]
	}
	return chosen
}

func hitOne(s scale, open openCache, cores int) contender {
	return contender{open: func() (func() (float64, error), func() error, error) {
		c, _, err := warm(s, open)
		var order [][]string
		for core := range cores {
			order = append(order, zipf(s.keys, s.hits, uint64(core)))
		}
		return func() (float64, error) {
			return onCores(cores, func() (float64, error) { return hits(c, order) })
		}, nil, err
	}}
}

var errMissed = errors.New("a key was not in memory")

// hits returns the processor time of one hit in nanoseconds, with a goroutine for each order of keys.
func hits(c cache, order [][]string) (float64, error) {
	errs := make([]error, len(order))
	n := 0
	took, _ := cpu(func() error {
		var wg sync.WaitGroup
		for i, keys := range order {
			n += len(keys)
			wg.Go(func() {
				for _, key := range keys {
					if !c.get(key) {
						errs[i] = errMissed
					}
				}
			})
		}
		wg.Wait()
		return nil
	})
	return float64(took) / float64(n), errors.Join(errs...)
}

// batches prepares batches of 50 keys of a warm cache.
func batches(s scale, c cache) []func(context.Context) (int, error) {
	keys := zipf(s.keys, s.hits, 7)
	var all []func(context.Context) (int, error)
	for ; len(keys) >= batchKeys; keys = keys[batchKeys:] {
		all = append(all, c.batch(keys[:batchKeys]))
	}
	return all
}

func readAll(batches []func(context.Context) (int, error)) error {
	for _, read := range batches {
		if _, err := read(context.Background()); err != nil {
			return err
		}
	}
	return nil
}

func hitBatch(s scale, open openCache) contender {
	return contender{open: func() (func() (float64, error), func() error, error) {
		c, _, err := warm(s, open)
		if err != nil {
			return nil, nil, err
		}
		all := batches(s, c)
		return func() (float64, error) {
			return onCores(1, func() (float64, error) {
				took, err := cpu(func() error { return readAll(all) })
				return float64(took) / float64(len(all)) / float64(time.Microsecond), err
			})
		}, nil, nil
	}}
}

func batchAllocations(s scale, open openCache) contender {
	return contender{open: func() (func() (float64, error), func() error, error) {
		c, _, err := warm(s, open)
		if err != nil {
			return nil, nil, err
		}
		all := batches(s, c)
		return func() (float64, error) {
			n, err := allocations(func() error { return readAll(all) })
			return n / float64(len(all)), err
		}, nil, nil
	}}
}

// readThrough has all callers ask for the same keys at once. Some keys are new in each round. A fetch takes long enough
// for all callers to miss.
func readThrough(s scale, open openCache, fetched bool) contender {
	return contender{open: func() (func() (float64, error), func() error, error) {
		from := new(source)
		c, err := open.open(2*s.keys, from)
		if err != nil {
			return nil, nil, err
		}
		known := keysFrom(0, batchKeys-missing)
		if err := fill(c, known); err != nil {
			return nil, nil, err
		}
		from.delay = s.fetch
		next := s.keys
		return func() (float64, error) {
			keys := append(known[:len(known):len(known)], keysFrom(next, missing)...)
			next += missing
			before := from.fetched.Load()
			n, err := allocations(func() error { return ask(c, keys, s.callers) })
			if fetched {
				n = float64(from.fetched.Load() - before)
			}
			return n, err
		}, nil, nil
	}}
}

func ask(c cache, keys []string, callers int) error {
	errs := make([]error, callers)
	read := c.batch(keys)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			n, err := read(context.Background())
			if err == nil && n != len(keys) {
				err = fmt.Errorf("got %d of %d keys", n, len(keys))
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// reader reads through any cache, whether its get fetches or not.
type reader struct {
	cache
	from *source
}

func (r reader) read(key string) (hit bool, err error) {
	before := r.from.fetched.Load()
	hit = r.get(key)
	if !hit && r.from.fetched.Load() == before {
		err = fill(r.cache, []string{key})
	}
	return hit, err
}

// ratio reads keys and returns which share of them was in memory, in percent.
func (r reader) ratio(keys []string) (float64, error) {
	hits := 0
	for _, key := range keys {
		hit, err := r.read(key)
		if err != nil {
			return 0, err
		}
		if hit {
			hits++
		}
	}
	return 100 * float64(hits) / float64(len(keys)), nil
}

func zipfRatio(s scale, open openCache) contender {
	return contender{open: func() (func() (float64, error), func() error, error) {
		seed := uint64(100)
		return func() (float64, error) {
			from := new(source)
			c, err := open.open(max(1, s.keys/100), from)
			if err != nil {
				return 0, err
			}
			seed++
			keys := zipf(s.keys, s.hits, seed)
			r := reader{c, from}
			if _, err := r.ratio(keys[:len(keys)/3]); err != nil {
				return 0, err
			}
			return r.ratio(keys[len(keys)/3:])
		}, nil, nil
	}}
}

func scanRatio(s scale, open openCache) contender {
	return contender{open: func() (func() (float64, error), func() error, error) {
		return func() (float64, error) {
			from := new(source)
			budget := s.keys / 10
			c, err := open.open(budget, from)
			if err != nil {
				return 0, err
			}
			r, live := reader{c, from}, keysFrom(0, budget/2)
			if _, err := r.ratio(live); err != nil {
				return 0, err
			}
			random := rand.New(rand.NewPCG(3, 4))
			for _, scanned := range keysFrom(s.keys, 7*budget) {
				if _, err := r.ratio([]string{scanned, live[random.IntN(len(live))]}); err != nil {
					return 0, err
				}
			}
			return r.ratio(live)
		}, nil, nil
	}}
}
