package plan

import (
	"context"

	"github.com/timeblob/timeblob/index"
)

// maxParts is how many parts one call of the merge function gets at most, so
// that a question whose context has ended stops after one call.
const maxParts = 64

// part is a value that is being merged, and the entries that it is made of; none
// for a value that is not in the index.
type part[T any] struct {
	value   T
	tenant  string
	entries []index.Entry
}

// fold merges parts, in one call where they are at most maxParts. It leaves out
// what the merge function refuses, and names it. The error is the context's.
func (p *Past[T]) fold(ctx context.Context, parts []part[T]) (v T, refused []lost, err error) {
	for first := true; len(parts) > 0; first = false {
		n := min(len(parts), maxParts)
		batch := parts[:n]
		if !first { // v is the merge so far
			n = min(len(parts), maxParts-1)
			batch = append([]part[T]{{value: v}}, parts[:n]...)
		}
		if err := ctx.Err(); err != nil {
			return v, nil, err
		}
		var left []lost
		if v, left, err = p.foldBatch(ctx, batch); err != nil {
			return v, nil, err
		}
		refused, parts = append(refused, left...), parts[n:]
	}
	return v, refused, nil
}

// foldBatch merges some parts in one call, and sifts them when that fails.
func (p *Past[T]) foldBatch(ctx context.Context, parts []part[T]) (v T, refused []lost, err error) {
	if len(parts) == 1 {
		return parts[0].value, nil, nil
	}
	values := make([]T, len(parts))
	for i := range parts {
		values[i] = parts[i].value
	}
	if v, err = p.call(values); err != nil {
		return p.sift(ctx, parts, err)
	}
	return v, nil, nil
}

// seeds is how many parts sift begins with, one after the other.
const seeds = 3

// sift merges parts one by one and leaves out those that are refused. Which of
// two values is to blame nobody can tell, so where most are refused by the first
// one sift begins anew with the next.
func (p *Past[T]) sift(ctx context.Context, parts []part[T], cause error) (best T, refused []lost, err error) {
	fewest := len(parts) + 1
	for seed := range min(seeds, len(parts)) {
		v, out, last := parts[seed].value, []int(nil), cause
		for i := range parts {
			if err := ctx.Err(); err != nil {
				return best, nil, err
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
		if len(out) < fewest {
			fewest, best, refused = len(out), v, blame(parts, out, last)
		}
		if 2*len(out) < len(parts) {
			break
		}
	}
	return best, refused, nil
}

// blame returns the entries of the refused parts.
func blame[T any](parts []part[T], refused []int, cause error) (all []lost) {
	for _, i := range refused {
		err := &MergeError{Tenant: parts[i].tenant, Entries: parts[i].entries, Err: cause}
		if len(parts[i].entries) == 0 {
			all = append(all, lost{tenant: parts[i].tenant, err: err})
		}
		for _, e := range parts[i].entries {
			all = append(all, lost{parts[i].tenant, e, err})
		}
	}
	return all
}
