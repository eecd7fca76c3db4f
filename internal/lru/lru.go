// Package lru is the byte-bounded cache that the memory tier and the cache of
// merged quanta share: golang-lru's list, with a weight for each value, an
// optional time to live, and shards so that readers do not wait in line.
package lru

import (
	"errors"
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Options of a cache; nil means the defaults.
type Options struct {
	// TTL is how long a value stays after it was added; 0 means until it is
	// evicted. Reading does not prolong it.
	TTL time.Duration
	// Shards is how many parts, each with its own lock and its own order of
	// use, the cache is split into. Default 16, at most 1024. The parts share
	// one budget of bytes; a value is kept as long as it fits that.
	Shards int
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Cache keeps the values used last, up to a total weight in bytes: exactly
// those with one shard; with several, which values go is exact within each
// shard only. It is safe for any number of goroutines. A nil Cache is empty
// and keeps nothing.
type Cache[K comparable, V any] struct {
	seed   maphash.Seed
	shards []shard[K, V]
	max    int64
	weight atomic.Int64 // of all shards; above max only while an Add evicts
	ttl    time.Duration
	now    func() time.Time
}

type shard[K comparable, V any] struct {
	mu   sync.Mutex
	list *simplelru.LRU[K, item[V]]
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
		max: maxBytes, ttl: o.TTL, now: o.Now}
	for i := range c.shards {
		// A list's own bound is a count, and is set out of reach.
		list, err := simplelru.NewLRU(math.MaxInt, func(_ K, it item[V]) { c.weight.Add(-it.weight) })
		if err != nil {
			return nil, err
		}
		c.shards[i].list = list
	}
	return c, nil
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
// had, and evicts those used longest ago until all fit. A value that is
// heavier than the whole cache is not kept; a weight below 1 counts as 1.
func (c *Cache[K, V]) Add(key K, v V, weight int64) {
	if c == nil {
		return
	}
	it := item[V]{value: v, weight: max(weight, 1)}
	if c.ttl > 0 {
		it.expires = c.now().Add(c.ttl)
	}
	home := c.home(key)
	c.put(&c.shards[home], key, it)
	// The shard that grew gives first, down to the value just added; then the
	// others, in the order that follows it.
	for n := range c.shards {
		if c.weight.Load() <= c.max {
			return
		}
		c.evict(&c.shards[(home+n)%len(c.shards)], n == 0)
	}
}

// put adds an item to its shard, unless it cannot fit.
func (c *Cache[K, V]) put(s *shard[K, V], key K, it item[V]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list.Remove(key)
	if it.weight > c.max {
		return
	}
	s.list.Add(key, it)
	c.weight.Add(it.weight)
}

// evict drops a shard's oldest items until the cache fits its budget, or none
// is left but, where one is to be spared, the newest.
func (c *Cache[K, V]) evict(s *shard[K, V], spare bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	least := 0
	if spare {
		least = 1
	}
	for c.weight.Load() > c.max && s.list.Len() > least {
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

// RemoveFunc forgets the keys that drop reports, and looks at all for that.
func (c *Cache[K, V]) RemoveFunc(drop func(K) bool) {
	if c == nil {
		return
	}
	for i := range c.shards {
		c.shards[i].removeFunc(drop)
	}
}

func (s *shard[K, V]) removeFunc(drop func(K) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.list.Keys() {
		if drop(key) {
			s.list.Remove(key)
		}
	}
}

// Expire forgets the values whose time has passed, and looks at all for that.
func (c *Cache[K, V]) Expire() {
	if c == nil || c.ttl == 0 {
		return
	}
	now := c.now()
	for i := range c.shards {
		c.shards[i].expire(now)
	}
}

func (s *shard[K, V]) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.list.Keys() {
		if it, ok := s.list.Peek(key); ok && !now.Before(it.expires) {
			s.list.Remove(key)
		}
	}
}

// Len returns the number of kept values, including expired values that were not read since.
func (c *Cache[K, V]) Len() (n int) {
	if c == nil {
		return 0
	}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += s.list.Len()
		s.mu.Unlock()
	}
	return n
}

// Bytes returns the weight of the values kept.
func (c *Cache[K, V]) Bytes() int64 {
	if c == nil {
		return 0
	}
	return c.weight.Load()
}

func (c *Cache[K, V]) shard(key K) *shard[K, V] { return &c.shards[c.home(key)] }

// home returns the number of the key's shard.
func (c *Cache[K, V]) home(key K) int {
	return int(maphash.Comparable(c.seed, key) % uint64(len(c.shards)))
}
