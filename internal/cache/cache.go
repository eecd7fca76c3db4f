// Package cache keeps values in memory, up to a number of bytes. Package tiered
// keeps decoded blobs in such a cache, and package bucket keeps merges of quanta
// and decoded values of the live window.
//
// # Eviction
//
// Eviction is S3-FIFO (Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for
// cache eviction", SOSP 2023), with bytes where the paper counts objects:
//
//   - A new value enters the small queue, which aims at a tenth of the budget.
//   - The oldest value of the small queue moves to the main queue when it was
//     read at least twice. Otherwise it is evicted, and the cache remembers the
//     hash of its key.
//   - A value whose key is remembered enters the main queue at once.
//   - The oldest value of the main queue becomes its newest when it was
//     read since it last did. Otherwise it is evicted.
//
// So the values of a scan, which are read once, pass through the small queue and
// leave the main queue alone.
//
// # Reads
//
// A hit takes no lock and moves nothing. It finds the value in a hash table that
// is read with atomic loads (see table), and counts the use in the value's own
// entry, up to 3. A value that is read often is no longer written to at all.
package cache

import (
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a cache; nil means the defaults.
type Options struct {
	// TTL is how long a value stays after it was added; 0 means until it is
	// evicted. Reading does not prolong it.
	TTL time.Duration
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Cache keeps values up to a total weight in bytes, which it never exceeds. It
// is safe for any number of goroutines. A nil Cache is empty and keeps nothing.
type Cache[K comparable, V any] struct {
	seed  maphash.Seed
	ttl   time.Duration
	now   func() time.Time
	begin time.Time // expiry is counted from here

	table   atomic.Pointer[table[K, V]] // read without mu, written with it
	lookups lookups

	mu     sync.Mutex // guards what follows, and the entries' places in the queues
	queues queues[K, V]
}

// New returns a cache of at most maxBytes, which must be positive.
func New[K comparable, V any](maxBytes int64, opts *Options) (*Cache[K, V], error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	switch {
	case maxBytes <= 0:
		return nil, errors.New("cache: the size must be at least 1 byte")
	case o.TTL < 0:
		return nil, errors.New("cache: the time to live must not be negative")
	}
	c := &Cache[K, V]{seed: maphash.MakeSeed(), ttl: o.TTL, now: o.Now, begin: o.Now(), queues: queues[K, V]{max: maxBytes}}
	c.table.Store(newTable[K, V](0))
	return c, nil
}

// Get returns the value of key, nil when there is none. Readers share the value:
// nobody may change it. Get counts the lookup, and allocates nothing.
func (c *Cache[K, V]) Get(key K) *V {
	if c == nil {
		return nil
	}
	hash := hashOf(c.seed, key)
	v := c.read(c.table.Load().find(hash, key))
	c.lookups.count(1, hits(v))
	return v
}

// Peek is Get without a trace: it neither counts the lookup nor prolongs the value's stay.
func (c *Cache[K, V]) Peek(key K) *V {
	if c == nil {
		return nil
	}
	e := c.table.Load().find(hashOf(c.seed, key), key)
	if e == nil || c.isExpired(e) {
		return nil
	}
	return &e.value
}

// GetMany writes what Get returns for each key to found, which has the length of
// keys. It costs less than as many calls of Get: it does each step for all
// keys before the next step, so that the processor waits for the memory of
// many keys at a time.
//
// If keys point to memory, as strings do, touch reads a byte of that memory; its
// result is ignored. For other keys touch is nil.
func (c *Cache[K, V]) GetMany(keys []K, touch func(K) byte, found []*V) {
	if c == nil {
		clear(found)
		return
	}
	var b batch[K, V]
	for len(keys) > 0 {
		n := min(len(keys), len(b.hashes))
		b.find(c.table.Load(), c.seed, keys[:n], touch)
		hit := 0
		for i, e := range b.entries[:n] {
			found[i] = c.read(e)
			hit += hits(found[i])
		}
		c.lookups.count(n, hit)
		keys, found = keys[n:], found[n:]
	}
}

// read returns the value of an entry, which may be nil, and notes the use.
func (c *Cache[K, V]) read(e *entry[K, V]) *V {
	if e == nil {
		return nil
	}
	if c.isExpired(e) {
		c.drop(e)
		return nil
	}
	e.use()
	return &e.value
}

func (c *Cache[K, V]) isExpired(e *entry[K, V]) bool { return c.ttl > 0 && c.age() >= e.expires }

func hits[V any](v *V) int {
	if v == nil {
		return 0
	}
	return 1
}

// Lookups returns how many keys Get and GetMany looked up, and how many of them they found.
func (c *Cache[K, V]) Lookups() (lookups, hits uint64) {
	if c == nil {
		return 0, 0
	}
	return c.lookups.sum()
}

// Add keeps a value of the given weight in bytes, in place of the value that
// the key had, and evicts other values before it until all fit. A value that is
// heavier than the whole cache is not kept; a weight below 1 counts as 1.
func (c *Cache[K, V]) Add(key K, v V, weight int64) {
	if c == nil {
		return
	}
	e := &entry[K, V]{hash: hashOf(c.seed, key), key: key, value: v, weight: max(weight, 1)}
	if c.ttl > 0 {
		e.expires = c.age() + c.ttl
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.table.Load().find(e.hash, key)
	home := c.queues.home(e, old)
	c.queues.unlink(old)
	if e.weight > c.queues.max {
		c.table.Load().remove(old)
		return
	}
	for c.queues.bytes()+e.weight > c.queues.max {
		c.table.Load().remove(c.queues.evict())
	}
	home.push(e)
	c.put(e)
}

// put writes an entry to the table, in the place of an entry with the same key,
// and replaces the table when it is full.
func (c *Cache[K, V]) put(e *entry[K, V]) {
	t := c.table.Load()
	if t.isFull() {
		t = t.rebuilt()
		c.table.Store(t)
	}
	t.put(e)
}

// Remove forgets a key.
func (c *Cache[K, V]) Remove(key K) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.table.Load().find(hashOf(c.seed, key), key))
}

// remove takes an entry, which may be nil, out of the cache.
func (c *Cache[K, V]) remove(e *entry[K, V]) {
	c.queues.unlink(e)
	c.table.Load().remove(e)
}

// drop removes an entry unless it was removed, or replaced, before.
func (c *Cache[K, V]) drop(e *entry[K, V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.queue != nil {
		c.remove(e)
	}
}

// RemoveFunc forgets the keys that drop reports, and looks at all for that.
func (c *Cache[K, V]) RemoveFunc(drop func(K) bool) {
	c.removeEach(func(e *entry[K, V]) bool { return drop(e.key) })
}

// Expire forgets the values whose time has passed, and looks at all for that.
func (c *Cache[K, V]) Expire() {
	if c == nil || c.ttl == 0 {
		return
	}
	age := c.age()
	c.removeEach(func(e *entry[K, V]) bool { return age >= e.expires })
}

func (c *Cache[K, V]) removeEach(which func(*entry[K, V]) bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := range c.table.Load().all() {
		if which(e) {
			c.remove(e)
		}
	}
}

// Len returns the number of kept values, including expired values that were not read since.
func (c *Cache[K, V]) Len() int {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queues.len()
}

// Bytes returns the weight of the values kept.
func (c *Cache[K, V]) Bytes() int64 {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queues.bytes()
}

// age is how long ago the cache was made.
func (c *Cache[K, V]) age() time.Duration { return c.now().Sub(c.begin) }
