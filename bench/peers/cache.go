package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/bluele/gcache"
	"github.com/dgraph-io/ristretto/v2"
	"github.com/golang/groupcache"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"
	"github.com/viccon/sturdyc"
)

const valueBytes = 1 << 10

// cache is a read-through cache of values of 1 kB, bounded to about as many entries as it was opened for.
type cache interface {
	// get returns whether the key is in memory. It fetches nothing.
	get(key string) bool
	// batch prepares a read of keys that fetches what is missing and returns how many values it has. What callers of
	// a cache have at hand anyway, as our refs, it makes before the read.
	batch(keys []string) func(ctx context.Context) (int, error)
}

// openCache makes a cache that fetches from source.
type openCache struct {
	name, note string
	open       func(entries int, source *source) (cache, error)
}

// source is what caches fetch from. It counts the keys.
type source struct {
	fetched atomic.Int64
	delay   time.Duration // of each fetch
}

var theValue = make([]byte, valueBytes)

func (s *source) fetch(keys int) []byte {
	s.fetched.Add(int64(keys))
	if s.delay > 0 {
		time.Sleep(s.delay)
	}
	return theValue
}

var caches = []openCache{
	{"timeblob tiered", "counted", openOurs},
	{"otter v2", "counted", openOtter},
	{"ristretto v2", "counted", openRistretto},
	{"sturdyc", "counted, 64 shards", openSturdyc},
	{"gcache", "counted, LRU", openGcache},
	{"golang-lru v2", "not counted, no loader", openLRU},
	{"groupcache", "counted", openGroupcache},
}

// loop reads a batch key by key, with a fetch for each key that is missing.
func loop(keys []string, get func(key string) error) func(context.Context) (int, error) {
	return func(context.Context) (int, error) {
		for i, key := range keys {
			if err := get(key); err != nil {
				return i, err
			}
		}
		return len(keys), nil
	}
}

type otterCache struct {
	*otter.Cache[string, []byte]
	source *source
}

func openOtter(entries int, s *source) (cache, error) {
	c, err := otter.New(&otter.Options[string, []byte]{MaximumSize: entries, StatsRecorder: stats.NewCounter()})
	return otterCache{c, s}, err
}

func (c otterCache) get(key string) bool {
	_, ok := c.GetIfPresent(key)
	return ok
}

func (c otterCache) batch(keys []string) func(context.Context) (int, error) {
	loader := otter.BulkLoaderFunc[string, []byte](func(_ context.Context, missing []string) (map[string][]byte, error) {
		return c.source.many(missing), nil
	})
	return func(ctx context.Context) (int, error) {
		values, err := c.BulkGet(ctx, keys, loader)
		return len(values), err
	}
}

func (s *source) many(keys []string) map[string][]byte {
	values := make(map[string][]byte, len(keys))
	value := s.fetch(len(keys))
	for _, key := range keys {
		values[key] = value
	}
	return values
}

type ristrettoCache struct {
	*ristretto.Cache[string, []byte]
	source *source
}

func openRistretto(entries int, s *source) (cache, error) {
	c, err := ristretto.NewCache(&ristretto.Config[string, []byte]{
		NumCounters: int64(10 * entries), MaxCost: int64(entries), BufferItems: 64, Metrics: true, IgnoreInternalCost: true,
	})
	return ristrettoCache{c, s}, err
}

func (c ristrettoCache) get(key string) bool {
	_, ok := c.Get(key)
	return ok
}

func (c ristrettoCache) batch(keys []string) func(context.Context) (int, error) {
	return loop(keys, func(key string) error {
		if _, ok := c.Get(key); !ok {
			c.Set(key, c.source.fetch(1), 1)
		}
		return nil
	})
}

type sturdyCache struct {
	*sturdyc.Client[[]byte]
	source *source
}

func openSturdyc(entries int, s *source) (cache, error) {
	return sturdyCache{sturdyc.New[[]byte](entries, min(64, entries), time.Hour, 10, sturdyc.WithMetrics(new(sturdyCounts))), s}, nil
}

func (c sturdyCache) get(key string) bool {
	_, ok := c.Get(key)
	return ok
}

func (c sturdyCache) batch(keys []string) func(context.Context) (int, error) {
	fetch := func(_ context.Context, missing []string) (map[string][]byte, error) {
		return c.source.many(missing), nil
	}
	return func(ctx context.Context) (int, error) {
		values, err := c.GetOrFetchBatch(ctx, keys, func(id string) string { return id }, fetch)
		return len(values), err
	}
}

// sturdyCounts counts hits and misses, as the other caches do.
type sturdyCounts struct{ hits, misses atomic.Int64 }

func (s *sturdyCounts) CacheHit()                   { s.hits.Add(1) }
func (s *sturdyCounts) CacheMiss()                  { s.misses.Add(1) }
func (s *sturdyCounts) AsynchronousRefresh()        {}
func (s *sturdyCounts) SynchronousRefresh()         {}
func (s *sturdyCounts) MissingRecord()              {}
func (s *sturdyCounts) ForcedEviction()             {}
func (s *sturdyCounts) EntriesEvicted(int)          {}
func (s *sturdyCounts) ShardIndex(int)              {}
func (s *sturdyCounts) CacheBatchRefreshSize(int)   {}
func (s *sturdyCounts) ObserveCacheSize(func() int) {}

type gCache struct{ gcache.Cache }

func openGcache(entries int, s *source) (cache, error) {
	loader := func(any) (any, error) { return s.fetch(1), nil }
	return gCache{gcache.New(entries).LRU().LoaderFunc(loader).Build()}, nil
}

func (c gCache) get(key string) bool {
	_, err := c.GetIFPresent(key)
	return err == nil
}

func (c gCache) batch(keys []string) func(context.Context) (int, error) {
	return loop(keys, func(key string) error {
		_, err := c.Get(key)
		return err
	})
}

type lruCache struct {
	*lru.Cache[string, []byte]
	source *source
}

func openLRU(entries int, s *source) (cache, error) {
	c, err := lru.New[string, []byte](entries)
	return lruCache{c, s}, err
}

func (c lruCache) get(key string) bool {
	_, ok := c.Get(key)
	return ok
}

func (c lruCache) batch(keys []string) func(context.Context) (int, error) {
	return loop(keys, func(key string) error {
		if _, ok := c.Get(key); !ok {
			c.Add(key, c.source.fetch(1))
		}
		return nil
	})
}

// groupCache has no way to look without fetching: its get tells a hit by the source, which did not count.
type groupCache struct {
	*groupcache.Group
	source *source
}

var groups atomic.Int64

func openGroupcache(entries int, s *source) (cache, error) {
	getter := groupcache.GetterFunc(func(_ context.Context, _ string, to groupcache.Sink) error {
		return to.SetBytes(s.fetch(1))
	})
	bytes := int64(entries) * (valueBytes + int64(len(keyOf(0))))
	return groupCache{groupcache.NewGroup(fmt.Sprint("peers-", groups.Add(1)), bytes, getter), s}, nil
}

func (c groupCache) get(key string) bool {
	before := c.source.fetched.Load()
	var value groupcache.ByteView
	err := c.Get(context.Background(), key, groupcache.ByteViewSink(&value))
	return err == nil && c.source.fetched.Load() == before
}

func (c groupCache) batch(keys []string) func(context.Context) (int, error) {
	return loop(keys, func(key string) error {
		var value groupcache.ByteView
		return c.Get(context.Background(), key, groupcache.ByteViewSink(&value))
	})
}
