package cache

import (
	"sync/atomic"
	"unsafe"
)

// lookups count without a cache line that all readers write: a reader's stack
// chooses one of several counters, and sum adds them up. Readers on two
// processors seldom share a counter. A choice by the key's hash would let both
// write all counters in turn, at the price of a cache line for each lookup.
type lookups [64]struct {
	missed, found atomic.Uint64
	_             [48]byte // the rest of the cache line
}

func (l *lookups) count(n, found int) {
	c := &l[stack()%uint64(len(l))]
	if found > 0 {
		c.found.Add(uint64(found))
	}
	if found < n {
		c.missed.Add(uint64(n - found))
	}
}

// stack returns a number that differs between most goroutines, and mostly stays
// the same for one. It is the hash of an address on the goroutine's stack.
func stack() uint64 {
	var here byte
	return uint64(uintptr(unsafe.Pointer(&here))>>11) * 0x9e3779b97f4a7c15 >> 58
}

func (l *lookups) sum() (n, found uint64) {
	for i := range l {
		missed, hits := l[i].missed.Load(), l[i].found.Load()
		n, found = n+missed+hits, found+hits
	}
	return n, found
}
