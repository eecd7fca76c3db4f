package tiered

import (
	"context"

	"github.com/timeblob/timeblob/blob"
)

// Get returns a result for each ref, by index: the value, or that there is no
// such blob, or why it could not be read. Refs may repeat. Get asks each tier
// once at most, for all the blobs that the tiers before it did not have, and
// does not fetch a blob that another caller is fetching already.
//
// Where a ref's sum is known, Get checks the bytes that it fetched: wrong bytes
// from a cache are a fault of the cache, and Get reads on in the next tier;
// wrong bytes from the authority are a *CorruptError.
//
// The error joins the errors of all results: a *TierError and a *CorruptError
// name their keys, and wrap the error of ctx when that ended first. The other
// results are whole.
func (s *Store[T]) Get(ctx context.Context, refs []blob.Ref) ([]blob.Result[T], error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	results := make([]blob.Result[T], len(refs))
	open := s.look(refs, results)
	if len(open) == 0 {
		return results, nil
	}
	return results, s.fetch(ctx, refs, open, results)
}

// look writes the results that memory has, and returns the indices of the other refs.
func (s *Store[T]) look(refs []blob.Ref, results []blob.Result[T]) (open []int) {
	var keys [64]string
	var found [64]*kept[T]
	for first := 0; first < len(refs); first += len(keys) {
		some := refs[first:min(first+len(keys), len(refs))]
		for i := range some {
			keys[i] = some[i].Key
		}
		s.memory.GetMany(keys[:len(some)], lastByte, found[:len(some)])
		for i, k := range found[:len(some)] {
			if s.hit(k, some[i].Sum) {
				r := &results[first+i]
				r.Value, r.Found, r.Size = k.value, true, k.size
				continue
			}
			if open == nil {
				open = make([]int, 0, len(refs)-first-i)
			}
			open = append(open, first+i)
		}
	}
	return open
}

// lastByte brings the memory of a key near the processor. Inlined, where nobody
// uses its result, it would read nothing.
//
//go:noinline
func lastByte(key string) byte {
	if key == "" {
		return 0
	}
	return key[len(key)-1]
}

// fetch reads the open refs from the tiers. It returns the joined errors of the results.
func (s *Store[T]) fetch(ctx context.Context, refs []blob.Ref, open []int, results []blob.Result[T]) error {
	r := &reader[T]{store: s, refs: refs}
	r.read(ctx, open, results)
	var failed failures
	for _, i := range open {
		if err := results[i].Err; err != nil {
			failed.add(refs[i].Key, err)
		}
	}
	return failed.join()
}

// GetRaw is Get without decoding: it returns the blobs, which are the caller's.
// It looks at no memory and keeps nothing, and does not wait for other callers
// who read the same blobs. It checks sums as Get does.
func (s *Store[T]) GetRaw(ctx context.Context, refs []blob.Ref) ([]blob.Result[[]byte], error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	raw := &Store[[]byte]{decoder: newDecoder(asIs{}, s.decoder.parallel), levels: s.levels}
	results, open := make([]blob.Result[[]byte], len(refs)), make([]int, len(refs))
	for i := range open {
		open[i] = i
	}
	return results, raw.fetch(ctx, refs, open, results)
}

// asIs is the codec of blobs that stay blobs.
type asIs struct{}

func (asIs) Encode(v []byte) ([]byte, error) { return v, nil }

func (asIs) Decode(b []byte) ([]byte, error) { return b, nil }

// One returns the value of one blob and whether it exists, with Get's errors.
// It allocates nothing when the value is in memory.
func (s *Store[T]) One(ctx context.Context, ref blob.Ref) (v T, found bool, err error) {
	if s.closed.Load() {
		return v, false, ErrClosed
	}
	if k := s.memory.Get(ref.Key); s.hit(k, ref.Sum) {
		return k.value, true, nil
	}
	results := make([]blob.Result[T], 1)
	err = s.fetch(ctx, []blob.Ref{ref}, []int{0}, results)
	return results[0].Value, results[0].Found, err
}
