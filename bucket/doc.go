// Package bucket keeps mergeable values over time: it answers "the merge of
// everything of this tenant in [from, to)" exactly, from an index of one row
// an hour and a store of blobs.
//
// A [Collector] takes values, merges those of a tick, flushes the result and
// answers questions, live and past. Its parts can be used apart: [Window] is
// the live window of one tenant, [Quantizer] reads the past and caches merged
// quanta. An [Index] finds entries; [MemIndex] is one in memory, drivers in
// sibling packages keep them in a directory or in DynamoDB. Values are of any
// type that has a [Merge] function; how they become bytes is the business of
// the [Blobs] store, which tiered.Store implements.
//
// # Format
//
// Keys in the stores are those of Weave Scope's multitenant collector, so
// that both can share tables, buckets and caches. They are frozen.
//
//	hour      floor(instant in Unix nanoseconds / 3 600 000 000 000)
//	row key   <tenant> "-" <hour, decimal>
//	blob key  <MD5 of the row key, 32 lower-case hex digits> "/" <instant, decimal>
//
//	tenant "acme", 2023-11-14T22:13:21.088456789Z:
//	row key   acme-472222
//	blob key  01b00ef0afd542a2e90d543c84945e00/1700000001088456789
package bucket
