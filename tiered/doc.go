// Package tiered reads values from the nearest place that has them: memory,
// then caches, then the authority, which must hold every blob.
//
// A Store asks each tier once for all the keys that are still missing, lets
// concurrent readers of a key share one fetch, decodes in parallel within one
// limit, and writes the bytes it found into the caches above, beside the
// reader's path and without encoding again.
//
// Absent, failed and corrupt are three things. A cache's failure, or bytes of
// a cache that do not decode, are counted and the next tier is read. The
// authority's are errors, a *TierError or a *CorruptError, that name the keys.
// Only what the authority does not hold is absent, and that is never cached.
//
// A driver implements [Tier]: two methods. An authority that values can be deleted from
// is a [Deleter] too, and a [Lister], so that a deletion finds blobs that no entry names.
// tiertest.Run checks a driver as cache or authority. [MemTier] keeps blobs in memory.
package tiered
