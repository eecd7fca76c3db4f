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

// flightKey names a blob that is being fetched.
type flightKey struct {
	key string
	sum blob.Sum
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
		if s.memory, err = cache.New[string, kept[T]](o.Memory, &cache.Options{Now: o.Now}); err != nil {
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

// kept is a value in memory.
type kept[T any] struct {
	value T
	size  int64    // of the blob
	sum   blob.Sum // of the blob; zero when nobody asked for it by its sum
}

// answers reports whether k, nil when memory has none, may answer for a ref with this sum. A value that was
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

// Stats returns figures of the store.
func (s *Store[T]) Stats() (all Stats) {
	if s.memory != nil {
		use := s.memoryUse()
		all.Bytes = use.bytes
		all.Tiers = append(all.Tiers, TierStats{Name: memoryName, Hits: int64(use.hits), Misses: int64(use.lookups - use.hits)})
	}
	for _, l := range s.levels {
		all.Tiers = append(all.Tiers, l.metrics.own.stats(l.name))
	}
	return all
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
