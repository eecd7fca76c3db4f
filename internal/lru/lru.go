// Package lru is the byte-bounded cache that the memory tier and the cache of
// merged quanta share: golang-lru's list, with a weight for each value, an
// optional time to live, and shards so that readers do not wait in line.
package lru

import (
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Options of a cache; nil means the defaults.
type Options struct {
	// TTL is how long a value stays after it was added; 0 means until it is
	// evicted. Reading does not prolong it.
	TTL time.Duration
	// Shards is how many parts, each with its own lock and an equal share of
	// the bytes, the cache is split into. Default 16, at most 1024. A value
	// heavier than its shard's share is not kept.
	Shards int
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Cache keeps the values used last, up to a total weight in bytes.
// It is safe for any number of goroutines. A nil Cache is empty and keeps
// nothing.
type Cache[K comparable, V any] struct {
	seed   maphash.Seed
	shards []shard[K, V]
	share  int64
	ttl    time.Duration
	now    func() time.Time
}

type shard[K comparable, V any] struct {
	mu     sync.Mutex
	list   *simplelru.LRU[K, item[V]]
	weight int64
}

type item[V any] struct {
	value   V
	weight  int64
	expires time.Time // zero: never
}

// New returns a cache of at most maxBytes, which must be positive.
func New[K comparable, V any](maxBytes int64, opts *Options) (*Cache[K, V], error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.Shards == 0 {
		o.Shards = 16
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	switch {
	case maxBytes <= 0:
		return nil, errors.New("lru: the size must be at least 1 byte")
	case o.Shards < 0 || o.Shards > 1024:
		return nil, errors.New("lru: shards must be from 1 to 1024")
	case o.TTL < 0:
		return nil, errors.New("lru: the time to live must not be negative")
	}
	c := &Cache[K, V]{seed: maphash.MakeSeed(), shards: make([]shard[K, V], o.Shards),
		share: maxBytes / int64(o.Shards), ttl: o.TTL, now: o.Now}
	for i := range c.shards {
		if err := c.shards[i].init(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// init makes the list, whose own bound is a count and so is set out of reach.
func (s *shard[K, V]) init() (err error) {
	s.list, err = simplelru.NewLRU(int(^uint(0)>>1), func(_ K, it item[V]) { s.weight -= it.weight })
	return err
}

// Get returns the value of key and makes it the one used last. It allocates
// nothing.
func (c *Cache[K, V]) Get(key K) (v V, ok bool) {
	if c == nil {
		return v, false
	}
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	it, ok := s.list.Get(key)
	if !ok {
		return v, false
	}
	if !it.expires.IsZero() && !c.now().Before(it.expires) {
		s.list.Remove(key)
		return v, false
	}
	return it.value, true
}

// Add keeps a value of the given weight in bytes, in place of the one the key
// had, and evicts those used longest ago until the shard's share is kept.
func (c *Cache[K, V]) Add(key K, v V, weight int64) {
	if c == nil {
		return
	}
	it := item[V]{value: v, weight: max(weight, 1)}
	if c.ttl > 0 {
		it.expires = c.now().Add(c.ttl)
	}
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list.Remove(key)
	if it.weight > c.share {
		return
	}
	s.list.Add(key, it)
	s.weight += it.weight
	for s.weight > c.share {
		s.list.RemoveOldest()
	}
}

// Remove forgets a key.
func (c *Cache[K, V]) Remove(key K) {
	if c == nil {
		return
	}
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list.Remove(key)
}

// Len returns the number of values kept, those that have expired but were not
// read since among them.
func (c *Cache[K, V]) Len() (n int) {
	c.each(func(s *shard[K, V]) { n += s.list.Len() })
	return n
}

// Bytes returns the weight of the values kept.
func (c *Cache[K, V]) Bytes() (n int64) {
	c.each(func(s *shard[K, V]) { n += s.weight })
	return n
}

func (c *Cache[K, V]) each(f func(*shard[K, V])) {
	if c == nil {
		return
	}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		f(s)
		s.mu.Unlock()
	}
}

func (c *Cache[K, V]) shard(key K) *shard[K, V] {
	return &c.shards[maphash.Comparable(c.seed, key)%uint64(len(c.shards))]
}
