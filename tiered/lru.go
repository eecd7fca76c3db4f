package tiered

import (
	"time"

	"github.com/timeblob/timeblob/internal/lru"
)

// LRU keeps the values used last, up to a total weight in bytes. It is what a
// Store has as its memory. It is safe for any number of goroutines; a nil LRU
// is empty and keeps nothing. Values are shared, so nobody may change them.
type LRU[T any] struct {
	cache *lru.Cache[string, T]
}

// LRUOptions are an LRU's; nil means the defaults.
type LRUOptions struct {
	// TTL is how long a value stays after it was added; 0: until it is
	// evicted. Reading does not prolong it.
	TTL time.Duration
	// Shards is how many parts, each with its own lock and its own order of
	// use, share the bytes; from 1 to 1024, default 16. One shard evicts
	// exactly the value used longest ago, more let readers on many cores not
	// wait for each other.
	Shards int
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// NewLRU returns an LRU of at most maxBytes, which must be positive.
func NewLRU[T any](maxBytes int64, opts *LRUOptions) (*LRU[T], error) {
	if opts == nil {
		opts = &LRUOptions{}
	}
	cache, err := lru.New[string, T](maxBytes, &lru.Options{TTL: opts.TTL, Shards: opts.Shards, Now: opts.Now})
	if err != nil {
		return nil, err
	}
	return &LRU[T]{cache: cache}, nil
}

// Get returns the value of key and makes it the one used last. It allocates
// nothing.
func (l *LRU[T]) Get(key string) (v T, ok bool) { return l.inner().Get(key) }

// Add keeps a value of the given weight in bytes, in place of the one the key
// had, and evicts those used longest ago until all fit. A value heavier than
// the whole LRU is not kept; a weight below 1 counts as 1.
func (l *LRU[T]) Add(key string, v T, weight int64) { l.inner().Add(key, v, weight) }

// Remove forgets a key.
func (l *LRU[T]) Remove(key string) { l.inner().Remove(key) }

// Len returns the number of values kept, those that have expired but were not
// read since among them.
func (l *LRU[T]) Len() int { return l.inner().Len() }

// Bytes returns the weight of the values kept.
func (l *LRU[T]) Bytes() int64 { return l.inner().Bytes() }

// inner is nil, which is an empty cache, for a nil LRU.
func (l *LRU[T]) inner() *lru.Cache[string, T] {
	if l == nil {
		return nil
	}
	return l.cache
}
