// Package flight lets many callers who want the same keys share one fetch.
//
// It differs from golang.org/x/sync/singleflight in what batched reads need:
// a caller claims all of its keys at once, so that the keys nobody is working
// on go into one fetch. Nothing runs detached: a fetch runs in its caller's
// goroutine under that caller's context, waiters obey their own contexts, and
// when a fetch ends because its own caller gave up, the waiters fetch for
// themselves.
package flight

import (
	"context"
	"errors"
	"sync"
)

// errAbandoned ends the flights of a fetch that panicked.
var errAbandoned = errors.New("flight: the fetch did not return")

// Result is what a fetch found out about one key.
type Result[V any] struct {
	Value V
	Found bool  // false: the key does not exist
	Err   error // the key could not be read; Found is false
}

// Group coalesces fetches by key. The zero value is ready; a Group must not
// be copied and may be used by any number of goroutines.
type Group[K comparable, V any] struct {
	mu      sync.Mutex
	flights map[K]*call[V]
}

// call is one key on its way. Its result is written before done is closed,
// and left is set when the caller who fetched gave up.
type call[V any] struct {
	done   chan struct{}
	result Result[V]
	left   bool
}

// Fetch reads keys and returns a result for each of them, by index.
// What it caches it must have cached before it returns: from then on the
// same key starts a new flight.
type Fetch[K comparable, V any] func(ctx context.Context, keys []K) []Result[V]

// Do returns the result of each of keys, which must be unique, by index.
// The keys that nobody fetches at the moment go to fetch in one call, for the
// others Do waits. That a key does not exist it believes only of a fetch that
// began after Do did, so whoever stored a key finds it. It returns an error
// only when ctx ends first; the results of the keys that were not reached by
// then have that error as well.
func (g *Group[K, V]) Do(ctx context.Context, keys []K, fetch Fetch[K, V]) ([]Result[V], error) {
	results := make([]Result[V], len(keys))
	open := make([]int, len(keys))
	for i := range open {
		open[i] = i
	}
	for round := 0; len(open) > 0; round++ {
		mine, theirs := g.claim(keys, open)
		g.lead(ctx, keys, mine, results, fetch)
		// What others fetch in the first round began before this call.
		open = follow(ctx, theirs, results, round == 0)
	}
	return results, ctx.Err()
}

// awaited is a key that another caller fetches.
type awaited[V any] struct {
	index int
	call  *call[V]
}

// claim opens a flight for each open key that has none.
func (g *Group[K, V]) claim(keys []K, open []int) (mine []int, theirs []awaited[V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.flights == nil {
		g.flights = make(map[K]*call[V])
	}
	for _, i := range open {
		if c, ok := g.flights[keys[i]]; ok {
			theirs = append(theirs, awaited[V]{i, c})
			continue
		}
		g.flights[keys[i]] = &call[V]{done: make(chan struct{})}
		mine = append(mine, i)
	}
	return mine, theirs
}

// lead fetches the keys that this caller claimed and ends their flights,
// also when fetch panics.
func (g *Group[K, V]) lead(ctx context.Context, keys []K, mine []int, results []Result[V], fetch Fetch[K, V]) {
	if len(mine) == 0 {
		return
	}
	claimed := make([]K, len(mine))
	for n, i := range mine {
		claimed[n] = keys[i]
		results[i] = Result[V]{Err: errAbandoned}
	}
	defer func() { g.land(ctx.Err() != nil, keys, mine, results) }()
	for n, r := range fetch(ctx, claimed) {
		results[mine[n]] = r
	}
}

// land hands the results to the waiters and closes the flights.
func (g *Group[K, V]) land(left bool, keys []K, mine []int, results []Result[V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, i := range mine {
		c := g.flights[keys[i]]
		delete(g.flights, keys[i])
		c.result = results[i]
		c.left = left && results[i].Err != nil
		close(c.done)
	}
}

// follow waits for the keys that others fetch. It returns those to be tried
// again: whose caller gave up and, when the flights are older than the
// question, who were not found.
func follow[V any](ctx context.Context, theirs []awaited[V], results []Result[V], older bool) (again []int) {
	for _, w := range theirs {
		r, left := w.call.wait(ctx)
		if left || older && !r.Found && r.Err == nil {
			again = append(again, w.index)
			continue
		}
		results[w.index] = r
	}
	return again
}

// wait returns the call's result, or the error of a context that ends first.
func (c *call[V]) wait(ctx context.Context) (r Result[V], left bool) {
	select {
	case <-c.done:
		return c.result, c.left
	default:
	}
	select {
	case <-c.done:
		return c.result, c.left
	case <-ctx.Done():
		return Result[V]{Err: ctx.Err()}, false
	}
}
