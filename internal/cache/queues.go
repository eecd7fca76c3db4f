package cache

import (
	"sync/atomic"
	"time"
)

const (
	smallShare = 10 // the small queue aims at a tenth of the budget
	maxUses    = 3  // how far an entry's uses are counted
	promoted   = 2  // uses that let an entry of the small queue into the main queue

	// maxSpared is how many used entries one eviction passes over. It bounds
	// how long a writer holds the lock while readers use every entry.
	maxSpared = 1000
)

// entry is a value in the cache. Only its uses and its place in a queue change.
// A hit reads the first fields, which share a cache line when the value is short.
type entry[K comparable, V any] struct {
	key   K
	uses  atomic.Uint32 // reads since evict last looked at the entry, at most maxUses
	value V

	hash         uint64
	expires      time.Duration // by the cache's age
	weight       int64
	queue        *queue[K, V] // nil: in none
	newer, older *entry[K, V]
}

// use counts a read. One of two reads at the same time may not be counted.
func (e *entry[K, V]) use() {
	if n := e.uses.Load(); n < maxUses {
		e.uses.Store(n + 1)
	}
}

// queues are the order in which entries are evicted.
type queues[K comparable, V any] struct {
	max         int64
	small, main queue[K, V]
	evicted     memory
}

func (q *queues[K, V]) bytes() int64 { return q.small.bytes + q.main.bytes }
func (q *queues[K, V]) len() int     { return q.small.len + q.main.len }

// home returns the queue that a new entry enters. An entry that replaces an old one
// takes its queue and its uses.
func (q *queues[K, V]) home(e, old *entry[K, V]) *queue[K, V] {
	switch {
	case old != nil:
		e.uses.Store(old.uses.Load())
		return old.queue
	case q.evicted.forget(e.hash):
		return &q.main
	}
	return &q.small
}

// unlink takes an entry, which may be nil, out of its queue.
func (q *queues[K, V]) unlink(e *entry[K, V]) {
	if e != nil {
		e.queue.remove(e)
	}
}

// evict takes one entry out of the queues and returns it. There must be one.
func (q *queues[K, V]) evict() *entry[K, V] {
	for spared := 0; ; spared++ {
		from, uses := &q.main, uint32(1)
		if q.small.bytes > q.max/smallShare || q.main.len == 0 {
			from, uses = &q.small, promoted
		}
		e := from.oldest
		from.remove(e)
		n := e.uses.Load()
		if n < uses || spared >= maxSpared {
			if from == &q.small {
				q.evicted.remember(e.hash, q.len()/2) // together, half to all of the number of values
			}
			return e
		}
		if from == &q.small {
			n = 1
		}
		e.uses.Store(n - 1)
		q.main.push(e)
	}
}

// queue is a list of entries in the order of their arrival.
type queue[K comparable, V any] struct {
	newest, oldest *entry[K, V]
	len            int
	bytes          int64
}

func (q *queue[K, V]) push(e *entry[K, V]) {
	e.queue, e.older, e.newer = q, q.newest, nil
	if q.newest == nil {
		q.oldest = e
	} else {
		q.newest.newer = e
	}
	q.newest = e
	q.len++
	q.bytes += e.weight
}

func (q *queue[K, V]) remove(e *entry[K, V]) {
	if e.older == nil {
		q.oldest = e.newer
	} else {
		e.older.newer = e.newer
	}
	if e.newer == nil {
		q.newest = e.older
	} else {
		e.newer.older = e.older
	}
	e.queue, e.older, e.newer = nil, nil, nil
	q.len--
	q.bytes -= e.weight
}

// memory holds the hashes of keys that were evicted lately, in two halves. When the
// young half is full, the old half is forgotten. Two keys may share a hash by chance;
// then one of them enters the wrong queue, which does no harm.
type memory struct{ young, old map[uint64]struct{} }

// remember adds a hash. A half is full at n hashes.
func (m *memory) remember(hash uint64, n int) {
	if len(m.young) >= n || m.young == nil {
		m.old = m.young
		m.young = make(map[uint64]struct{})
	}
	m.young[hash] = struct{}{}
}

// forget removes a hash, and reports whether it was there.
func (m *memory) forget(hash uint64) bool {
	if _, ok := m.young[hash]; ok {
		delete(m.young, hash)
		return true
	}
	_, ok := m.old[hash]
	delete(m.old, hash)
	return ok
}
