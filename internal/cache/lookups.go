package cache

import "sync/atomic"

// lookups count without a cache line that all readers write: the key's hash
// chooses one of several counters, and sum adds them up.
type lookups [64]struct {
	missed, found atomic.Uint64
	_             [48]byte // the rest of the cache line
}

func (l *lookups) count(hash uint64, n, found int) {
	c := &l[hash%uint64(len(l))]
	if found > 0 {
		c.found.Add(uint64(found))
	}
	if found < n {
		c.missed.Add(uint64(n - found))
	}
}

func (l *lookups) sum() (n, found uint64) {
	for i := range l {
		missed, hits := l[i].missed.Load(), l[i].found.Load()
		n, found = n+missed+hits, found+hits
	}
	return n, found
}
