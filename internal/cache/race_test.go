package cache_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/timeblob/timeblob/internal/cache"
)

// TestBudgetHoldsAtEveryMoment writes, reads and removes values of very different weights at the
// same time. What the cache weighs never exceeds its bound, a key never has the value of another
// one, and nothing is left when all keys were removed.
func TestBudgetHoldsAtEveryMoment(t *testing.T) {
	t.Parallel()
	const maxBytes, keys = 10_000, 500
	c, err := cache.New[int, int](maxBytes, nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			many, found := make([]int, 40), make([]*int, 40)
			for i := range 2_000 {
				key := (g*7919 + i*31) % keys
				c.Add(key, key, int64(1+i*i%3_000))
				if v := c.Get(i % keys); v != nil && *v != i%keys {
					t.Errorf("key %d has the value %d", i%keys, *v)
				}
				for n := range many {
					many[n] = (i + n) % keys
				}
				c.GetMany(many, nil, found)
				for n, v := range found {
					if v != nil && *v != (i+n)%keys {
						t.Errorf("key %d has the value %d", (i+n)%keys, *v)
					}
				}
				if n := c.Bytes(); n > maxBytes {
					t.Errorf("%d bytes", n)
				}
				switch i % 17 {
				case 0:
					c.Remove(key)
				case 1:
					c.RemoveFunc(func(k int) bool { return k%100 == g })
				}
			}
		})
	}
	wg.Wait()
	if c.Bytes() < maxBytes/4 {
		t.Errorf("%d bytes at rest, bound %d", c.Bytes(), maxBytes)
	}
	c.RemoveFunc(func(int) bool { return true })
	if c.Bytes() != 0 || c.Len() != 0 {
		t.Errorf("%d values of %d bytes in an emptied cache", c.Len(), c.Bytes())
	}
}

// TestHitsWhileTheTableChanges reads keys that stay, while others come and go
// and the table is rebuilt again and again. Each read must be a hit, also while the value is replaced.
func TestHitsWhileTheTableChanges(t *testing.T) {
	t.Parallel()
	const stay, writers, rounds = 64, 2, 5_000
	c := open(t, 1<<30, nil)
	for i := range stay {
		c.Add(strconv.Itoa(i), i, 1)
	}
	var reading, writing sync.WaitGroup
	var done atomic.Bool
	for range 4 {
		reading.Go(func() {
			for i := 0; !done.Load(); i++ {
				if v := c.Get(strconv.Itoa(i % stay)); v == nil || *v != i%stay {
					t.Errorf("key %d has %v", i%stay, v)
					return
				}
			}
		})
	}
	for w := range writers {
		writing.Go(func() {
			for i := range rounds {
				c.Add(strconv.Itoa(i%stay), i%stay, 1)
				c.Add(strconv.Itoa(stay+w*rounds+i), i, 1)
				if i >= 100 {
					c.Remove(strconv.Itoa(stay + w*rounds + i - 100))
				}
			}
		})
	}
	writing.Wait()
	done.Store(true)
	reading.Wait()
}
