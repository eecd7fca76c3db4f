package cache

import (
	"hash/maphash"
	"iter"
	"sync/atomic"
)

// table finds entries by their keys: open addressing with linear probing. Any
// number of goroutines may call find and guess while one goroutine writes.
//
// A slot that was taken is never empty again, because find ends at the first empty
// slot. The slot of a removed entry is marked, and a later entry may take it. An
// entry keeps its slot, and a key has one slot at most. So find meets every
// entry that stays while find runs.
//
// When three quarters of the slots are not empty, a rebuilt copy replaces the
// table, which nobody writes to any more. A reader that still has the old table
// sees it as it was when it was replaced, which was during the reader's call.
type table[K comparable, V any] struct {
	slots   []slot[K, V] // a power of two
	entries int
	used    int // slots that are not empty
}

// slot holds an entry and its hash. find reads the hash first and then compares
// the entry's key, so that a slot that changes in between misleads nobody.
type slot[K comparable, V any] struct {
	hash  atomic.Uint64 // 0: empty; 1: removed
	entry atomic.Pointer[entry[K, V]]
}

const (
	slotEmpty   = 0
	slotRemoved = 1
	leastSlots  = 16
)

// hashOf returns the hash of a key. It differs from the marks of empty and removed
// slots.
func hashOf[K comparable](seed maphash.Seed, key K) uint64 {
	return maphash.Comparable(seed, key) | 1<<63
}

// newTable returns a table that so many entries fill less than half.
func newTable[K comparable, V any](entries int) *table[K, V] {
	size := leastSlots
	for size <= 2*entries {
		size *= 2
	}
	return &table[K, V]{slots: make([]slot[K, V], size)}
}

// find returns the entry of a key, nil when there is none.
func (t *table[K, V]) find(hash uint64, key K) *entry[K, V] {
	slots := t.slots
	for i := hash; ; i++ {
		s := &slots[i&uint64(len(slots)-1)]
		switch s.hash.Load() {
		case hash:
			if e := s.entry.Load(); e != nil && e.key == key {
				return e
			}
		case slotEmpty:
			return nil
		}
	}
}

// touch brings the cache line at which guess begins.
func (t *table[K, V]) touch(hash uint64) { t.slots[hash&uint64(len(t.slots)-1)].hash.Load() }

// guess returns an entry that has the hash, and reads no entry for that. It is the
// entry that find returns unless two keys have one hash, or the slot changes meanwhile.
// It is nil when there is none.
func (t *table[K, V]) guess(hash uint64) *entry[K, V] {
	slots := t.slots
	for i := hash; ; i++ {
		s := &slots[i&uint64(len(slots)-1)]
		switch s.hash.Load() {
		case hash:
			if e := s.entry.Load(); e != nil {
				return e
			}
		case slotEmpty:
			return nil
		}
	}
}

// put adds an entry, or replaces the one with the same key. The table must not
// be full.
func (t *table[K, V]) put(e *entry[K, V]) {
	var to *slot[K, V] // the first removed slot on the way
	for i := e.hash; ; i++ {
		s := &t.slots[i&uint64(len(t.slots)-1)]
		switch hash := s.hash.Load(); {
		case hash == e.hash && s.entry.Load().key == e.key:
			s.entry.Store(e)
			return
		case hash == slotRemoved && to == nil:
			to = s
		case hash == slotEmpty:
			if to == nil {
				to = s
				t.used++
			}
			t.entries++
			to.entry.Store(e)
			to.hash.Store(e.hash)
			return
		}
	}
}

// remove takes out an entry. It does nothing for nil.
func (t *table[K, V]) remove(e *entry[K, V]) {
	if e == nil {
		return
	}
	for i := e.hash; ; i++ {
		s := &t.slots[i&uint64(len(t.slots)-1)]
		if s.entry.Load() == e {
			s.hash.Store(slotRemoved)
			s.entry.Store(nil)
			t.entries--
			return
		}
	}
}

// isFull reports whether the table must be rebuilt before the next entry is put.
func (t *table[K, V]) isFull() bool { return 4*t.used >= 3*len(t.slots) }

// rebuilt returns a table of the same entries without removed slots.
func (t *table[K, V]) rebuilt() *table[K, V] {
	fresh := newTable[K, V](t.entries)
	for e := range t.all() {
		fresh.put(e)
	}
	return fresh
}

// all yields the entries. The table may be written in the loop.
func (t *table[K, V]) all() iter.Seq[*entry[K, V]] {
	return func(yield func(*entry[K, V]) bool) {
		for i := range t.slots {
			if e := t.slots[i].entry.Load(); e != nil && !yield(e) {
				return
			}
		}
	}
}
