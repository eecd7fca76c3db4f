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
