package cache

import "hash/maphash"

// batch is several lookups that wait for memory together.
type batch[K comparable, V any] struct {
	hashes  [64]uint64
	entries [64]*entry[K, V]
}

// find finds the entries of keys in a table. Each loop reads memory that the loop before it
// found, of all keys before the next loop.
func (b *batch[K, V]) find(t *table[K, V], seed maphash.Seed, keys []K, touch func(K) byte) {
	hashes, entries := b.hashes[:len(keys)], b.entries[:len(keys)]
	if touch != nil {
		for _, key := range keys {
			touch(key)
		}
	}
	for i, key := range keys {
		hashes[i] = hashOf(seed, key)
	}
	for _, hash := range hashes {
		t.touch(hash)
	}
	for i, hash := range hashes {
		entries[i] = t.guess(hash)
	}
	touchAll(entries, touch)
	for i, e := range entries {
		if e != nil && e.key != keys[i] {
			entries[i] = t.find(hashes[i], keys[i])
		}
	}
}

// touchAll reads the first cache lines of entries, and then what their keys point to.
func touchAll[K comparable, V any](entries []*entry[K, V], touch func(K) byte) {
	for _, e := range entries {
		if e != nil {
			e.uses.Load()
		}
	}
	if touch == nil {
		return
	}
	for _, e := range entries {
		if e != nil {
			touch(e.key)
		}
	}
}
