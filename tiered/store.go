package tiered

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/internal/cache"
	"github.com/timeblob/timeblob/internal/guard"
	"github.com/timeblob/timeblob/internal/readthrough"
	"github.com/timeblob/timeblob/internal/weigh"
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
	memory  *cache.Cache[string, kept[T]] // nil: none
	scale   *weigh.Scale[T]
	levels  []*level // caches, nearest first, then the authority
	flights readthrough.Group[flightKey, T]
	metrics *metrics

	refused      atomic.Uint64 // memory's hits whose value had another sum
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
	s := &Store[T]{codec: codec, decoder: newDecoder(codec, o.Decoders), scale: weigh.New(o.Size), metrics: m}
	if o.Memory > 0 {
		if s.memory, err = cache.New[string, kept[T]](o.Memory, &cache.Options{TTL: o.MemoryTTL, Now: o.Now}); err != nil {
			return nil, err
		}
	}
	s.unregistered = m.memory.add(s.memoryUse)
	for _, c := range o.Caches {
		s.levels = append(s.levels, newCacheLevel(c, m, o.Now))
	}
	s.levels = append(s.levels, &level{name: authorityName, tier: authority, metrics: m.tier(authorityName), now: o.Now})
	return s, nil
}

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
	r := &reader[[]byte]{refs: refs, store: &Store[[]byte]{decoder: newDecoder(asIs{}, s.decoder.parallel), levels: s.levels}}
	results, open := make([]blob.Result[[]byte], len(refs)), make([]int, len(refs))
	for i := range open {
		open[i] = i
	}
	r.read(ctx, open, results)
	var failed failures
	for i := range results {
		if err := results[i].Err; err != nil {
			failed.add(refs[i].Key, err)
		}
	}
	return results, failed.join()
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

// kept is a value in memory.
type kept[T any] struct {
	value T
	size  int64    // of the blob
	sum   blob.Sum // of the blob; zero when nobody asked for it by its sum
}

// answers reports whether what memory has of a ref with the sum, nil for nothing, is the ref's value. A value that was
// kept without its sum, or with another one, does not answer for a ref with a sum.
func (k *kept[T]) answers(sum blob.Sum) bool {
	return k != nil && (!sum.Known() || k.sum == sum)
}

// hit is answers for the first look of a question. It notes that memory's hit was none.
func (s *Store[T]) hit(k *kept[T], sum blob.Sum) bool {
	if k.answers(sum) {
		return true
	}
	if k != nil {
		s.refused.Add(1)
	}
	return false
}

// memoryUse tells how memory is used since the store was opened.
func (s *Store[T]) memoryUse() memoryUse {
	refused := s.refused.Load() // read first: a hit counts before it is refused
	lookups, hits := s.memory.Lookups()
	return memoryUse{bytes: s.memory.Bytes(), lookups: lookups, hits: hits - refused}
}

// Encode returns the blob of a value, which is the caller's.
func (s *Store[T]) Encode(v T) ([]byte, error) {
	blob, err := s.encode(v)
	if err != nil {
		return nil, fmt.Errorf("tiered: encode: %w", err)
	}
	return blob, nil
}

func (s *Store[T]) encode(v T) (blob []byte, err error) {
	defer guard.Recover("encode", &err)
	return s.codec.Encode(v)
}

// Decode returns the value of a blob, which it does not keep: it undoes Encode,
// and reads nothing. It waits while as many are being decoded as may be; a decoding that
// never returns stops counting after ten seconds.
func (s *Store[T]) Decode(blob []byte) (T, error) {
	d := decoding[T]{blob: blob}
	s.decoder.one(context.Background(), &d)
	if d.err != nil {
		return d.value, fmt.Errorf("tiered: decode: %w", d.err)
	}
	return d.value, nil
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
	for _, l := range s.levels[:last] {
		l.queue.add(key, blob)
	}
	return nil
}

// Close makes Get, One and Put return ErrClosed from now on and waits for the
// blobs that are on their way to caches. When ctx ends first it drops the waiting blobs and says how many blobs a cache lacks; the authority has them all.
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
