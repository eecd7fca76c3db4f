package tiered

import "sync/atomic"

// Stats are figures of a Store at one moment. They count from New on, and this
// store alone, whatever shares its registry of metrics.
type Stats struct {
	Tiers []TierStats // memory if there is any, the caches, the authority
	Bytes int64       // of the values in memory
}

// TierStats are figures of one tier.
type TierStats struct {
	Name   string // "memory", a Cache's Name, or "authority"
	Hits   int64  // blobs that it had
	Misses int64  // keys that it did not have
	Faults int64  // operations that failed, and wrong blobs
}

// tierCounts are the counters behind TierStats.
type tierCounts struct{ hits, misses, faults atomic.Int64 }

func (c *tierCounts) stats(name string) TierStats {
	return TierStats{Name: name, Hits: c.hits.Load(), Misses: c.misses.Load(), Faults: c.faults.Load()}
}

// Stats returns figures of the store.
func (s *Store[T]) Stats() (all Stats) {
	if s.memory != nil {
		use := s.memoryUse()
		all.Bytes = use.bytes
		all.Tiers = append(all.Tiers, TierStats{Name: memoryName, Hits: int64(use.hits), Misses: int64(use.lookups - use.hits)})
	}
	for _, l := range s.levels {
		all.Tiers = append(all.Tiers, l.metrics.own.stats(l.name))
	}
	return all
}
