package cache_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/cache"
)

// clock is a time that tests move.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

func open(t testing.TB, maxBytes int64, opts *cache.Options) *cache.Cache[string, int] {
	t.Helper()
	c, err := cache.New[string, int](maxBytes, opts)
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
		opts *cache.Options
		ok   bool
	}{
		{"defaults", 1, nil, true},
		{"no bytes", 0, nil, false},
		{"negative bytes", -1, nil, false},
		{"negative time to live", 1, &cache.Options{TTL: -1}, false},
	} {
		if _, err := cache.New[string, int](tc.max, tc.opts); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestNilCacheIsEmpty(t *testing.T) {
	t.Parallel()
	var c *cache.Cache[string, int]
	c.Add("a", 1, 1)
	c.Remove("a")
	c.RemoveFunc(func(string) bool { return true })
	c.Expire()
	found := []*int{new(int)}
	c.GetMany([]string{"a"}, nil, found)
	lookups, hits := c.Lookups()
	if c.Get("a") != nil || c.Peek("a") != nil || found[0] != nil || c.Len() != 0 || c.Bytes() != 0 || lookups+hits != 0 {
		t.Error("a nil cache holds something")
	}
}

func TestTTL(t *testing.T) {
	t.Parallel()
	clk := &clock{now: time.Unix(0, 0)}
	c := open(t, 100, &cache.Options{TTL: time.Second, Now: clk.read})
	c.Add("a", 1, 7)
	for _, step := range []struct {
		at   time.Duration
		held bool
	}{{0, true}, {time.Second - 1, true}, {time.Second, false}, {0, false}} {
		clk.now = time.Unix(0, 0).Add(step.at)
		if held := c.Peek("a") != nil; held != step.held {
			t.Errorf("after %v: Peek says %v", step.at, held)
		}
		if held := c.Get("a") != nil; held != step.held {
			t.Errorf("after %v: held is %v", step.at, held)
		}
	}
	if c.Len() != 0 || c.Bytes() != 0 {
		t.Errorf("an expired value that was asked for still weighs %d", c.Bytes())
	}
}

func TestTTLIsRenewedByAddAlone(t *testing.T) {
	t.Parallel()
	clk := &clock{now: time.Unix(0, 0)}
	c := open(t, 100, &cache.Options{TTL: 10 * time.Second, Now: clk.read})
	c.Add("read", 1, 1)
	c.Add("added", 1, 1)
	clk.now = clk.now.Add(9 * time.Second)
	c.Get("read")
	c.Add("added", 2, 1)
	clk.now = clk.now.Add(time.Second)
	if c.Get("read") != nil {
		t.Error("reading prolonged a value's life")
	}
	if v := c.Get("added"); v == nil || *v != 2 {
		t.Errorf("the value that was added again is %v", v)
	}
}

func TestWithoutTTLNothingExpires(t *testing.T) {
	t.Parallel()
	clk := &clock{now: time.Unix(0, 0)}
	c := open(t, 100, &cache.Options{Now: clk.read})
	c.Add("a", 1, 1)
	clk.now = clk.now.Add(200 * 365 * 24 * time.Hour)
	if c.Get("a") == nil {
		t.Error("the value is gone")
	}
}

func TestWeights(t *testing.T) {
	t.Parallel()
	c := open(t, 100, nil)
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
		if held := c.Get(step.key) != nil; held != step.held || c.Bytes() != step.bytes {
			t.Errorf("%v: held %v, %d bytes", step, held, c.Bytes())
		}
	}
}

// TestGetMany compares GetMany with Get, for numbers of keys around the size of its batches.
func TestGetMany(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 63, 64, 65, 200} {
		c := open(t, 1<<20, nil)
		keys := make([]string, n)
		for i := range n {
			keys[i] = strconv.Itoa(i)
			if i%2 == 0 {
				c.Add(keys[i], i, 1)
			}
		}
		found := make([]*int, n)
		touched := 0
		c.GetMany(keys, func(key string) byte { touched++; return key[0] }, found)
		for i, key := range keys {
			if found[i] != c.Peek(key) {
				t.Errorf("%d keys: key %d has %v", n, i, found[i])
			}
		}
		if want := n + (n+1)/2; touched != want {
			t.Errorf("%d keys: %d touched, want these and the found ones, %d", n, touched, want)
		}
		if lookups, hits := c.Lookups(); lookups != uint64(n) || hits != uint64(n+1)/2 {
			t.Errorf("%d keys: counted %d lookups and %d hits", n, lookups, hits)
		}
	}
}

func TestLookupsCountGetAndNotPeek(t *testing.T) {
	t.Parallel()
	c := open(t, 100, nil)
	c.Add("a", 1, 1)
	for _, key := range []string{"a", "b", "a"} {
		c.Get(key)
		c.Peek(key)
	}
	if lookups, hits := c.Lookups(); lookups != 3 || hits != 2 {
		t.Errorf("%d lookups and %d hits, want 3 and 2", lookups, hits)
	}
}

// TestOnePassSparesAtMostAThousand fills the cache with values that were all read. An Add
// evicts the first value behind the thousand that it spares.
func TestOnePassSparesAtMostAThousand(t *testing.T) {
	t.Parallel()
	const n = 3000
	c := open(t, n, nil)
	for i := range n {
		key := strconv.Itoa(i)
		c.Add(key, i, 1)
		for range 3 {
			c.Get(key)
		}
	}
	c.Add("new", 0, 1)
	if c.Peek("1000") != nil || c.Len() != n {
		t.Errorf("the value behind a thousand used ones is held: %v; %d values", c.Peek("1000") != nil, c.Len())
	}
}

// TestScanLeavesLiveValues reads values at random, each beside a value of a scan that is seven times as large as the cache.
func TestScanLeavesLiveValues(t *testing.T) {
	t.Parallel()
	const budget = 1000
	c := open(t, budget, nil)
	read := func(i int) bool {
		key := strconv.Itoa(i)
		if c.Get(key) != nil {
			return true
		}
		c.Add(key, i, 1)
		return false
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 7 * budget {
		read(random.IntN(budget / 2))
		read(budget + i)
	}
	held := 0
	for i := range budget / 2 {
		if c.Peek(strconv.Itoa(i)) != nil {
			held++
		}
	}
	if held < budget/2*99/100 {
		t.Errorf("%d of %d live values are held after the scan", held, budget/2)
	}
}

// TestHitRatio reads 100 000 keys in a Zipf order with room for a hundredth of them. LRU has 52 % hits here.
func TestHitRatio(t *testing.T) {
	t.Parallel()
	const keys = 100_000
	c, err := cache.New[uint64, int](keys/100, nil)
	if err != nil {
		t.Fatal(err)
	}
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.01, 1, keys-1)
	for i := range 3 * keys {
		if key := zipf.Uint64(); c.Get(key) == nil {
			c.Add(key, i, 1)
		}
	}
	if lookups, hits := c.Lookups(); hits*100 < lookups*58 {
		t.Errorf("%d hits of %d lookups", hits, lookups)
	}
}

func TestGetAllocatesNothing(t *testing.T) {
	c := open(t, 1_000, &cache.Options{TTL: time.Hour})
	c.Add("hit", 1, 1)
	keys, found := make([]string, 100), make([]*int, 100)
	for _, key := range []string{"hit", "miss"} {
		for i := range keys {
			keys[i] = key
		}
		if n := testing.AllocsPerRun(100, func() { c.Get(key) }); n != 0 {
			t.Errorf("a %s allocates %v times", key, n)
		}
		if n := testing.AllocsPerRun(100, func() { c.GetMany(keys, nil, found) }); n != 0 {
			t.Errorf("100 of %s allocate %v times", key, n)
		}
	}
}

// TestExpire checks that what has expired leaves without being asked for, and
// nothing else does.
func TestExpire(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	c, err := cache.New[int, int](1000, &cache.Options{TTL: time.Minute, Now: func() time.Time { return now }})
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
}

func BenchmarkGet(b *testing.B) {
	c := open(b, 1<<20, nil)
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
