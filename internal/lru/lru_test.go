package lru_test

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/internal/lru"
)

// clock is a time that tests move.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

func open(t testing.TB, maxBytes int64, opts *lru.Options) *lru.Cache[string, int] {
	t.Helper()
	c, err := lru.New[string, int](maxBytes, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		max  int64
		opts *lru.Options
		ok   bool
	}{
		{"defaults", 1, nil, true},
		{"most shards", 1, &lru.Options{Shards: 1024}, true},
		{"no bytes", 0, nil, false},
		{"negative bytes", -1, nil, false},
		{"negative shards", 1, &lru.Options{Shards: -1}, false},
		{"too many shards", 1, &lru.Options{Shards: 1025}, false},
		{"negative time to live", 1, &lru.Options{TTL: -1}, false},
	} {
		if _, err := lru.New[string, int](tc.max, tc.opts); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestNilCacheIsEmpty(t *testing.T) {
	t.Parallel()
	var c *lru.Cache[string, int]
	c.Add("a", 1, 1)
	c.Remove("a")
	if _, ok := c.Get("a"); ok || c.Len() != 0 || c.Bytes() != 0 {
		t.Error("a nil cache holds something")
	}
}

func TestTTL(t *testing.T) {
	t.Parallel()
	clk := &clock{now: time.Unix(0, 0)}
	c := open(t, 100, &lru.Options{TTL: time.Second, Now: clk.read})
	c.Add("a", 1, 7)
	for _, step := range []struct {
		at   time.Duration
		held bool
	}{{0, true}, {time.Second - 1, true}, {time.Second, false}, {0, false}} {
		clk.now = time.Unix(0, 0).Add(step.at)
		if _, ok := c.Get("a"); ok != step.held {
			t.Errorf("after %v: held is %v", step.at, ok)
		}
	}
	if c.Len() != 0 || c.Bytes() != 0 {
		t.Errorf("an expired value that was asked for still weighs %d", c.Bytes())
	}
}

func TestTTLIsRenewedByAddAlone(t *testing.T) {
	t.Parallel()
	clk := &clock{now: time.Unix(0, 0)}
	c := open(t, 100, &lru.Options{TTL: 10 * time.Second, Now: clk.read})
	c.Add("read", 1, 1)
	c.Add("added", 1, 1)
	clk.now = clk.now.Add(9 * time.Second)
	c.Get("read")
	c.Add("added", 2, 1)
	clk.now = clk.now.Add(time.Second)
	if _, ok := c.Get("read"); ok {
		t.Error("reading prolonged a value's life")
	}
	if v, ok := c.Get("added"); !ok || v != 2 {
		t.Errorf("the value that was added again is %v, %v", v, ok)
	}
}

func TestWithoutTTLNothingExpires(t *testing.T) {
	t.Parallel()
	clk := &clock{now: time.Unix(0, 0)}
	c := open(t, 100, &lru.Options{Now: clk.read})
	c.Add("a", 1, 1)
	clk.now = clk.now.Add(200 * 365 * 24 * time.Hour)
	if _, ok := c.Get("a"); !ok {
		t.Error("the value is gone")
	}
}

func TestWeights(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 16} {
		c := open(t, 100, &lru.Options{Shards: shards})
		for _, step := range []struct {
			key    string
			weight int64
			bytes  int64
			held   bool
		}{
			{"a", 40, 40, true},
			{"a", 10, 10, true},        // the lighter value takes the heavier one's place
			{"a", 101, 0, false},       // heavier than the cache: not kept, and the old one is stale
			{"b", 100, 100, true},      // as heavy as the cache
			{"c", 0, 1, true},          // counts as 1, so b must go
			{"d", -5, 2, true},         // as well
			{"e", 98, 100, true},       // fits exactly
			{"f", 1 << 62, 100, false}, // and what is not kept evicts nothing
		} {
			c.Add(step.key, 1, step.weight)
			if _, ok := c.Get(step.key); ok != step.held || c.Bytes() != step.bytes {
				t.Errorf("%d shards, %v: held %v, %d bytes", shards, step, ok, c.Bytes())
			}
		}
	}
}

// entry is what the model knows of a value.
type entry struct {
	key     string
	value   int
	weight  int64
	expires time.Time
}

// model is an LRU as plain as can be: a list, oldest first.
type model struct {
	max     int64
	ttl     time.Duration
	entries []entry
}

func (m *model) find(key string) int {
	return slices.IndexFunc(m.entries, func(e entry) bool { return e.key == key })
}

func (m *model) remove(key string) {
	m.entries = slices.DeleteFunc(m.entries, func(e entry) bool { return e.key == key })
}

func (m *model) get(key string, now time.Time) (int, bool) {
	i := m.find(key)
	if i < 0 {
		return 0, false
	}
	e := m.entries[i]
	m.remove(key)
	if m.ttl > 0 && !now.Before(e.expires) {
		return 0, false
	}
	m.entries = append(m.entries, e)
	return e.value, true
}

func (m *model) add(e entry) {
	m.remove(e.key)
	if e.weight > m.max {
		return
	}
	m.entries = append(m.entries, e)
	for m.bytes() > m.max {
		m.entries = m.entries[1:]
	}
}

func (m *model) bytes() (n int64) {
	for _, e := range m.entries {
		n += e.weight
	}
	return n
}

// TestModel compares random operations with the plain list: exactly, for a
// cache of one shard.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		clk := &clock{now: time.Unix(0, 0)}
		m := &model{max: rapid.Int64Range(1, 50).Draw(rt, "max"), ttl: time.Duration(rapid.IntRange(0, 5).Draw(rt, "ttl"))}
		c := open(t, m.max, &lru.Options{Shards: 1, TTL: m.ttl, Now: clk.read})
		key := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"})
		rt.Repeat(map[string]func(*rapid.T){
			"add": func(rt *rapid.T) {
				e := entry{key: key.Draw(rt, "key"), value: rapid.Int().Draw(rt, "value"),
					weight: rapid.Int64Range(1, 60).Draw(rt, "weight"), expires: clk.now.Add(m.ttl)}
				c.Add(e.key, e.value, e.weight)
				m.add(e)
			},
			"get": func(rt *rapid.T) {
				k := key.Draw(rt, "key")
				want, held := m.get(k, clk.now)
				if v, ok := c.Get(k); ok != held || v != want {
					rt.Fatalf("Get(%q) = %v, %v; want %v, %v", k, v, ok, want, held)
				}
			},
			"remove": func(rt *rapid.T) {
				k := key.Draw(rt, "key")
				c.Remove(k)
				m.remove(k)
			},
			"wait": func(rt *rapid.T) { clk.now = clk.now.Add(time.Duration(rapid.IntRange(1, 3).Draw(rt, "ns"))) },
			"": func(rt *rapid.T) {
				if c.Bytes() != m.bytes() || c.Len() != len(m.entries) {
					rt.Fatalf("%d values of %d bytes, want %d of %d", c.Len(), c.Bytes(), len(m.entries), m.bytes())
				}
			},
		})
	})
}

// TestBudgetIsShared fills a cache of many shards with values of very
// different weights, at the same time: at rest it keeps its bound, uses most
// of it, and what it says it weighs is what it holds.
func TestBudgetIsShared(t *testing.T) {
	t.Parallel()
	const maxBytes = 10_000
	c := open(t, maxBytes, nil)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2_000 {
				key := strconv.Itoa((g*7919 + i*31) % 500)
				c.Add(key, i, int64(1+i*i%3_000))
				c.Get(strconv.Itoa(i % 500))
				if i%17 == 0 {
					c.Remove(key)
				}
			}
		})
	}
	wg.Wait()
	if c.Bytes() > maxBytes || c.Bytes() < maxBytes/4 {
		t.Errorf("%d bytes at rest, bound %d", c.Bytes(), maxBytes)
	}
	for i := range 500 {
		c.Remove(strconv.Itoa(i))
	}
	if c.Bytes() != 0 || c.Len() != 0 {
		t.Errorf("%d values of %d bytes in an emptied cache", c.Len(), c.Bytes())
	}
}

func TestGetAllocatesNothing(t *testing.T) {
	c := open(t, 1_000, &lru.Options{TTL: time.Hour})
	c.Add("hit", 1, 1)
	for _, key := range []string{"hit", "miss"} {
		if n := testing.AllocsPerRun(100, func() { c.Get(key) }); n != 0 {
			t.Errorf("a %s allocates %v times", key, n)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	for _, shards := range []int{1, 16} {
		b.Run(fmt.Sprintf("%dshards", shards), func(b *testing.B) {
			c := open(b, 1<<20, &lru.Options{Shards: shards})
			keys := make([]string, 1000)
			for i := range keys {
				keys[i] = fmt.Sprintf("%032x/%d", i, i)
				c.Add(keys[i], i, 100)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					c.Get(keys[i%len(keys)])
				}
			})
		})
	}
}

func BenchmarkAdd(b *testing.B) {
	c := open(b, 100_000, nil)
	keys := make([]string, 10_000)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		c.Add(keys[i%len(keys)], i, 100)
		i++
	}
}

// TestExpire checks that what has expired leaves without being asked for, and
// nothing else does.
func TestExpire(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	c, err := lru.New[int, int](1000, &lru.Options{TTL: time.Minute, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		c.Add(i, i, 5)
		now = now.Add(time.Second)
	}
	c.Expire()
	if n, bytes := c.Len(), c.Bytes(); n != 59 || bytes != 5*59 {
		t.Errorf("%d values of %d bytes are left, want those of the last minute", n, bytes)
	}
	var none *lru.Cache[int, int]
	none.Expire()
}
