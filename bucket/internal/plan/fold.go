package plan

import (
	"cmp"
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// maxParts is how many parts one call of the merge function gets at most, so
// that a question whose context has ended stops after one call.
const maxParts = 64

// leastHalf is how many parts a half has at least that is merged beside the other
// half. With fewer, the merge of the two merges would cost too much.
const leastHalf = 6

// leastBlobs is from how many bytes of blobs on their values are merged in halves. To
// merge less takes less than a millisecond.
const leastBlobs = 256 << 10

// foldHalves is fold on two processors: it merges the halves side by side, and then
// their merges. It is for parts that nothing else is merged beside, and does as fold
// does when their blobs have few bytes.
func (p *Past[T]) foldHalves(ctx context.Context, parts []part[T], blobs int64) (v T, refused []lost, err error) {
	half := len(parts) / 2
	if half < leastHalf || blobs < leastBlobs || len(parts) > 2*maxParts || runtime.GOMAXPROCS(0) == 1 {
		return p.fold(ctx, parts)
	}
	values, errs := make([]T, 2), make([]error, 2)
	forEach(2, func(i int) { values[i], errs[i] = p.callParts(parts[i*half : half+i*(len(parts)-half)]) })
	if err := ctx.Err(); err != nil {
		return v, nil, err
	}
	if errors.Join(errs...) == nil {
		if v, err = p.call(values); err == nil {
			return v, nil, nil
		}
	}
	return p.fold(ctx, parts) // it tells which part is to blame
}

// fold merges parts, in one call where they are at most maxParts. It leaves out
// what the merge function refuses, and names it. The error is the context's.
func (p *Past[T]) fold(ctx context.Context, parts []part[T]) (v T, refused []lost, err error) {
	count := 0
	for first := true; len(parts) > 0; first = false {
		n := min(len(parts), maxParts)
		batch := parts[:n]
		if !first { // v is the merge so far
			n = min(len(parts), maxParts-1)
			batch = append([]part[T]{{value: v, values: count}}, parts[:n]...)
		}
		if err := ctx.Err(); err != nil {
			return v, nil, err
		}
		var left []lost
		if v, left, err = p.foldBatch(ctx, batch); err != nil {
			return v, nil, err
		}
		count = valuesIn(batch) - valuesLost(left)
		refused, parts = append(refused, left...), parts[n:]
	}
	return v, refused, nil
}

// foldBatch merges some parts in one call, and sifts them when that fails.
func (p *Past[T]) foldBatch(ctx context.Context, parts []part[T]) (v T, refused []lost, err error) {
	if len(parts) == 1 {
		return parts[0].value, nil, nil
	}
	if v, err = p.callParts(parts); err != nil {
		return p.sift(ctx, parts, err)
	}
	return v, nil, nil
}

func (p *Past[T]) callParts(parts []part[T]) (T, error) {
	values := make([]T, len(parts))
	for i := range parts {
		values[i] = parts[i].value
	}
	return p.call(values)
}

// seeds is how many parts sift begins with, one after the other.
const seeds = 3

// sift merges parts one by one and leaves out refused parts. Which of
// two values is to blame nobody can tell, so sift tries several parts to begin
// with, the one of the most values first, and refuses as few values as it can.
func (p *Past[T]) sift(ctx context.Context, parts []part[T], cause error) (best T, refused []lost, err error) {
	all, fewest, from := valuesIn(parts), math.MaxInt, 0
	for _, seed := range seedsOf(parts) {
		v, out, last, err := p.siftFrom(ctx, parts, seed, cause)
		if err != nil {
			return best, nil, err
		}
		n := 0
		for _, i := range out {
			n += parts[i].values
		}
		if n < fewest || n == fewest && p.refusesItself(parts[from].value) {
			fewest, from, best, refused = n, seed, v, blame(parts, out, last)
		}
		if 2*n < all || parts[seed].pieces.len() == 0 {
			break
		}
	}
	return best, refused, nil
}

// refusesItself reports whether a value does not even merge with itself. Of two values
// that do not merge, it is then to blame.
func (p *Past[T]) refusesItself(v T) bool {
	_, err := p.call([]T{v, v})
	return err != nil
}

// seedsOf returns the parts to begin with: the merge of what came before where
// there is one, then the parts of the most values.
func seedsOf[T any](parts []part[T]) []int {
	order := make([]int, len(parts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if before := parts[a].pieces.len() == 0; before != (parts[b].pieces.len() == 0) {
			if before {
				return -1
			}
			return 1
		}
		return cmp.Compare(parts[b].values, parts[a].values)
	})
	return order[:min(seeds, len(order))]
}

// siftFrom merges the parts with the seed, one after the other. It returns the merge,
// the indexes of the refused parts, and the error of the last refusal.
func (p *Past[T]) siftFrom(ctx context.Context, parts []part[T], seed int, cause error) (v T, out []int, last, err error) {
	v, last = parts[seed].value, cause
	for i := range parts {
		if err := ctx.Err(); err != nil {
			return v, nil, nil, err
		}
		if i == seed {
			continue
		}
		next, err := p.call([]T{v, parts[i].value})
		if err != nil {
			out, last = append(out, i), err
			continue
		}
		v = next
	}
	return v, out, last, nil
}

// blame returns the pieces of the refused parts.
func blame[T any](parts []part[T], refused []int, cause error) (all []lost) {
	for _, i := range refused {
		p := &parts[i]
		err := &MergeError{Tenant: p.tenant, Entries: p.pieces.named(), Err: cause}
		all = append(all, lostOf(p.tenant, p.pieces, err)...)
	}
	return all
}

// forEach calls f with 0 to n-1, on as many goroutines as there are processors,
// and returns when all calls have.
func forEach(n int, f func(i int)) {
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			f(i)
		}
	}
	var group sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) - 1 {
		group.Go(work)
	}
	work()
	group.Wait()
}
