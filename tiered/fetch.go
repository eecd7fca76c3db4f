package tiered

import (
	"context"

	"github.com/timeblob/timeblob/internal/flight"
)

// fetch reads keys, which nobody else reads meanwhile, from one tier after
// the other.
func (s *Store[T]) fetch(ctx context.Context, keys []string) []flight.Result[T] {
	f := &fetch[T]{store: s, keys: keys, results: make([]flight.Result[T], len(keys))}
	f.recheck()
	for depth := range s.levels {
		if len(f.open) == 0 {
			break
		}
		if err := ctx.Err(); err != nil {
			f.fail(err)
			break
		}
		f.descend(ctx, depth)
	}
	return f.results
}

// fetch is a set of keys on its way down the tiers.
type fetch[T any] struct {
	store   *Store[T]
	keys    []string
	results []flight.Result[T] // by key
	open    []int              // the keys without a result, which is "absent" so far
}

// recheck looks into memory again: a flight may have landed after the caller
// looked and before it took off.
func (f *fetch[T]) recheck() {
	f.open = make([]int, 0, len(f.keys))
	for i, key := range f.keys {
		if v, ok := f.store.memory.Get(key); ok {
			f.results[i] = flight.Result[T]{Value: v, Found: true}
			continue
		}
		f.open = append(f.open, i)
	}
}

// fail gives all open keys an error.
func (f *fetch[T]) fail(err error) {
	for _, i := range f.open {
		f.results[i].Err = err
	}
	f.open = nil
}

// descend asks one level for all open keys and closes those it settles.
func (f *fetch[T]) descend(ctx context.Context, depth int) {
	l := f.store.levels[depth]
	asked := make([]string, len(f.open))
	for n, i := range f.open {
		asked[n] = f.keys[i]
	}
	blobs, err := l.get(ctx, asked)
	parcels, absent := f.unpack(blobs)
	f.store.decoder.all(ctx, parcels)
	f.open = absent
	if err != nil && l.isAuthority() {
		f.fail(err)
	}
	for n := range parcels {
		f.settle(ctx, depth, &parcels[n])
	}
}

// unpack picks what was asked for from an answer.
func (f *fetch[T]) unpack(blobs map[string][]byte) (parcels []parcel[T], absent []int) {
	for _, i := range f.open {
		if blob, ok := blobs[f.keys[i]]; ok {
			parcels = append(parcels, parcel[T]{index: i, blob: blob})
			continue
		}
		absent = append(absent, i)
	}
	return parcels, absent
}

// settle takes over a decoded value. A cache's corrupt blob leaves its key
// open, so that the next level is asked and the cache's blob replaced.
func (f *fetch[T]) settle(ctx context.Context, depth int, p *parcel[T]) {
	key, result, l := f.keys[p.index], &f.results[p.index], f.store.levels[depth]
	switch {
	case p.err == nil:
		*result = flight.Result[T]{Value: p.value, Found: true}
		f.store.keep(depth, key, p)
	case p.err == ctx.Err():
		result.Err = p.err
	case l.isAuthority():
		l.metrics.corrupt.Inc()
		result.Err = &CorruptError{Key: key, Tier: l.name, Err: p.err}
	default:
		l.metrics.corrupt.Inc()
		f.open = append(f.open, p.index)
	}
}

// keep puts a value into memory and its blob into the caches above the level
// it was found at.
func (s *Store[T]) keep(depth int, key string, p *parcel[T]) {
	s.writeBack(s.levels[:depth], key, p.blob)
	if s.memory == nil {
		return
	}
	weight := int64(len(p.blob))
	if s.size != nil {
		weight = s.size(p.value)
	}
	s.memory.Add(key, p.value, weight+int64(len(key))+overhead)
}
