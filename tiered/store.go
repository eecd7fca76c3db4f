package tiered

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/timeblob/timeblob/internal/flight"
)

// overhead is what a value weighs in memory beside itself and its key: the
// list's and the map's share.
const overhead = 160

// Store reads and writes the values of blobs through memory, caches and an
// authority. It is safe for any number of goroutines. The values it returns
// are shared: nobody may change them. Close it to let write-backs finish.
type Store[T any] struct {
	codec   Codec[T]
	decoder *decoder[T]
	memory  *LRU[T] // nil: none
	size    func(T) int64
	levels  []*level // caches, nearest first, then the authority
	flights flight.Group[string, T]
	metrics *metrics

	closed       atomic.Bool
	unregistered func() // takes memory out of the gauge
}

// New returns a store of what authority holds. It neither reads nor writes
// anything yet and owns no goroutine while no blob waits to be written.
func New[T any](codec Codec[T], authority Tier, opts *Options[T]) (*Store[T], error) {
	if codec == nil || authority == nil {
		return nil, errors.New("tiered: a store needs a codec and an authority")
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registerer, o.Namespace)
	if err != nil {
		return nil, err
	}
	s := &Store[T]{codec: codec, decoder: newDecoder(codec, o.Decoders), size: o.Size, metrics: m}
	if o.Memory > 0 {
		if s.memory, err = NewLRU[T](o.Memory, &LRUOptions{TTL: o.MemoryTTL, Now: o.Now}); err != nil {
			return nil, err
		}
	}
	s.unregistered = m.memoryBytes.add(s.memory.Bytes)
	for _, c := range o.Caches {
		s.levels = append(s.levels, newCacheLevel(c, m, o.Now))
	}
	s.levels = append(s.levels, &level{name: authorityName, tier: authority, metrics: m.tier(authorityName), now: o.Now})
	return s, nil
}

// Get returns the values of the keys that exist; a key that does not is
// absent from the map. Keys may repeat. Each tier is asked once at most, for
// all the keys that those before it did not have; a key that another caller
// is fetching already is not fetched twice.
//
// Keys that could not be read are errors: *TierError and *CorruptError name
// them, and the map holds the others. When ctx ends first the error wraps
// ctx's.
func (s *Store[T]) Get(ctx context.Context, keys []string) (map[string]T, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	values := make(map[string]T, len(keys))
	missing := s.recall(keys, values)
	if len(missing) == 0 {
		return values, nil
	}
	var failed failures
	for i, r := range s.read(ctx, missing) {
		switch {
		case r.Err != nil:
			failed.add(missing[i], r.Err)
		case r.Found:
			values[missing[i]] = r.Value
		}
	}
	return values, failed.join()
}

// recall takes what memory has into values and returns the other keys, each
// of them once.
func (s *Store[T]) recall(keys []string, values map[string]T) (missing []string) {
	var seen map[string]struct{}
	for i, key := range keys {
		if v, ok := s.memory.Get(key); ok {
			values[key] = v
			continue
		}
		if seen == nil {
			seen = make(map[string]struct{}, len(keys)-i)
		}
		if _, ok := seen[key]; !ok {
			seen[key] = struct{}{}
			missing = append(missing, key)
		}
	}
	s.countMemory(len(keys), len(values))
	return missing
}

// One returns the value of one key and whether it exists, with Get's errors.
// It allocates nothing when the value is in memory.
func (s *Store[T]) One(ctx context.Context, key string) (v T, found bool, err error) {
	if s.closed.Load() {
		return v, false, ErrClosed
	}
	if v, found = s.memory.Get(key); found {
		s.countMemory(1, 1)
		return v, true, nil
	}
	s.countMemory(1, 0)
	r := s.read(ctx, []string{key})[0]
	if r.Err != nil {
		var failed failures
		failed.add(key, r.Err)
		return v, false, failed.join()
	}
	return r.Value, r.Found, nil
}

func (s *Store[T]) countMemory(requests, hits int) {
	if s.memory == nil {
		return
	}
	s.metrics.memoryRequests.Add(float64(requests))
	s.metrics.memoryHits.Add(float64(hits))
}

// Encode returns the blob of a value, which is the caller's.
func (s *Store[T]) Encode(v T) ([]byte, error) {
	blob, err := s.codec.Encode(v)
	if err != nil {
		return nil, fmt.Errorf("tiered: encode: %w", err)
	}
	return blob, nil
}

// Decode returns the value of a blob, which it does not keep: it undoes Encode,
// and reads nothing. It waits while as many are being decoded as may be.
func (s *Store[T]) Decode(blob []byte) (T, error) {
	p := parcel[T]{blob: blob}
	s.decoder.one(context.Background(), &p)
	if p.err != nil {
		return p.value, fmt.Errorf("tiered: decode: %w", p.err)
	}
	return p.value, nil
}

// Put stores a blob under a key that is not taken, and returns once the
// authority has it; the caches get it later. When the key is taken nothing
// changes and the error is ErrExists; after any other error, a *TierError,
// the blob may or may not be stored. The bytes stay the caller's.
func (s *Store[T]) Put(ctx context.Context, key string, blob []byte) error {
	if s.closed.Load() {
		return ErrClosed
	}
	last := len(s.levels) - 1
	if err := s.levels[last].put(ctx, key, blob); err != nil {
		return err
	}
	s.writeBack(s.levels[:last], key, blob)
	return nil
}

// writeBack queues a blob for each of levels.
func (s *Store[T]) writeBack(levels []*level, key string, blob []byte) {
	for _, l := range levels {
		l.queue.add(key, blob)
	}
}

// Close makes Get, One and Put return ErrClosed from now on and waits for the
// blobs that are on their way to caches. When ctx ends first it drops those
// that wait and says how many blobs a cache lacks; the authority has them all.
// Calls that are under way end as they would have.
func (s *Store[T]) Close(ctx context.Context) error {
	s.closed.Store(true)
	s.unregistered()
	caches := s.levels[:len(s.levels)-1]
	for _, l := range caches {
		l.queue.close()
	}
	lost := 0
	for _, l := range caches {
		lost += l.queue.wait(ctx)
	}
	if lost > 0 {
		return fmt.Errorf("tiered: close: %d blobs did not reach a cache: %w", lost, ctx.Err())
	}
	return nil
}
