// Package readthrough reads many keys through a cache: it looks, claims the
// keys that are not cached, looks again, fetches, and keeps what it fetched.
//
// Callers who want the same key at the same time share one fetch. That differs
// from golang.org/x/sync/singleflight in what batched reads need: a caller
// claims all of its keys at once, so that the keys that nobody is fetching go
// into one fetch. Nothing runs detached: a fetch runs in its caller's goroutine
// under that caller's context, waiters obey their own contexts, and when a
// fetch ends because its own caller gave up, the waiters fetch for themselves.
//
// # Why it looks twice
//
// Between a caller's look into the cache and its claim, another caller's fetch
// of the same key may end:
//
//  1. A claims k and fetches it.
//  2. B looks for k in the cache and does not find it.
//  3. A keeps k in the cache and ends its claim.
//  4. B claims k. Nobody holds k any more, so B is to fetch it.
//  5. B looks again and finds what A kept.
//
// Without step 5, B would fetch k a second time. A keeps a value before it ends
// its claim, so a claim that B gets after A's shows B everything that A kept.
package readthrough

import (
	"context"
	"runtime/debug"
	"sync"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/internal/guard"
)

// Source is one caller's question: its keys, by index, the cache before them,
// and how to fetch them. Only the caller's goroutine uses it.
type Source[K comparable, V any] interface {
	// Key returns the key of an index. Keys may repeat.
	Key(i int) K
	// Look returns the cached value of a key. Again is false for the first
	// look and true for the look after the claim.
	Look(i int, again bool) (r blob.Result[V], ok bool)
	// Fetch reads the keys of the open indices, which are unique keys that
	// nobody else is fetching, and writes a result for each of them. What it
	// caches it must have cached before it returns. A budget of bytes is
	// taken here: only the caller who fetches is charged.
	Fetch(ctx context.Context, open []int, results []blob.Result[V])
}

// Group coalesces the fetches of its callers. The zero value is ready. A Group
// must not be copied and may be used by any number of goroutines.
type Group[K comparable, V any] struct {
	mu      sync.Mutex
	flights map[K]seat[V]
}

// seat is one key of a flight.
type seat[V any] struct {
	flight *flight[V]
	number int
}

// flight is one caller's fetch, of one or several keys.
type flight[V any] struct {
	done    chan struct{}    // closed when results and left are written
	results []blob.Result[V] // by seat
	left    bool             // the caller who fetched gave up
}

// wanted is a key whose result another seat will have.
type wanted[V any] struct {
	index int
	seat  seat[V]
}

// Look writes the results that are cached, and returns the indices of the other
// keys, which Read is to read. Results is as long as there are keys.
func Look[K comparable, V any](results []blob.Result[V], source Source[K, V]) (open []int) {
	for i := range results {
		r, ok := source.Look(i, false)
		if ok {
			results[i] = r
			continue
		}
		if open == nil {
			open = make([]int, 0, len(results)-i)
		}
		open = append(open, i)
	}
	return open
}

// Read writes the results of the open indices. That a key does not exist it
// believes only of a fetch that began after Read did, so a caller who has
// stored a key finds it. When ctx ends first, the results that Read did not
// reach have the error of ctx.
func (g *Group[K, V]) Read(ctx context.Context, open []int, results []blob.Result[V], source Source[K, V]) {
	for round := 0; len(open) > 0; round++ {
		mine, theirs, f := g.claim(source, open)
		if f != nil {
			g.lead(ctx, f, mine, results, source)
		}
		// What others fetch in the first round began before this call.
		open = follow(ctx, theirs, f, results, round == 0)
	}
}

// claim opens a flight for the open keys that have none. The flight is nil when
// others fetch them all.
func (g *Group[K, V]) claim(source Source[K, V], open []int) (mine []int, theirs []wanted[V], f *flight[V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.flights == nil {
		g.flights = make(map[K]seat[V])
	}
	for _, i := range open {
		key := source.Key(i)
		if s, ok := g.flights[key]; ok {
			theirs = append(theirs, wanted[V]{i, s})
			continue
		}
		if f == nil {
			f = &flight[V]{done: make(chan struct{})}
			mine = make([]int, 0, len(open))
		}
		g.flights[key] = seat[V]{f, len(mine)}
		mine = append(mine, i)
	}
	return mine, theirs, f
}

// lead looks again, fetches what this caller claimed, and ends the flight. When
// the fetch panics, the waiters get a *guard.PanicError, and the panic goes on.
func (g *Group[K, V]) lead(ctx context.Context, f *flight[V], mine []int, results []blob.Result[V], source Source[K, V]) {
	defer func() {
		if p := recover(); p != nil {
			err := &guard.PanicError{Func: "fetch", Value: p, Stack: debug.Stack()}
			for _, i := range mine {
				results[i] = blob.Result[V]{Err: err}
			}
			g.land(f, false, mine, results, source)
			panic(p)
		}
		g.land(f, ctx.Err() != nil, mine, results, source)
	}()
	open := make([]int, 0, len(mine))
	for _, i := range mine {
		r, ok := source.Look(i, true)
		if ok {
			results[i] = r
			continue
		}
		open = append(open, i)
	}
	if len(open) > 0 {
		source.Fetch(ctx, open, results)
	}
}

// land hands the results to the waiters and ends the claims.
func (g *Group[K, V]) land(f *flight[V], left bool, mine []int, results []blob.Result[V], source Source[K, V]) {
	f.left, f.results = left, make([]blob.Result[V], len(mine))
	g.mu.Lock()
	defer g.mu.Unlock()
	for n, i := range mine {
		delete(g.flights, source.Key(i))
		f.results[n] = results[i]
	}
	close(f.done)
}

// follow waits for the keys that other seats fetch. It returns the keys to be
// tried again: keys whose caller gave up and, when the flights are older than
// the question, keys that were not found. A seat of the caller's own flight is
// a repeated key.
func follow[V any](ctx context.Context, theirs []wanted[V], own *flight[V], results []blob.Result[V], older bool) (again []int) {
	for _, w := range theirs {
		f := w.seat.flight
		if err := f.wait(ctx); err != nil {
			results[w.index] = blob.Result[V]{Err: err}
			continue
		}
		r := f.results[w.seat.number]
		if f != own && (f.left && r.Err != nil || older && !r.Found && r.Err == nil) {
			again = append(again, w.index)
			continue
		}
		results[w.index] = r
	}
	return again
}

// wait returns when the flight has landed, or the error of a context that ends
// first.
func (f *flight[V]) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return nil
	default:
	}
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
