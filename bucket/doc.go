// Package bucket keeps mergeable values over time: it answers "the merge of
// everything of this tenant in [from, to)" exactly, from an index of one row
// an hour and a store of blobs.
//
// A [Collector] takes values, merges the values of a tick, flushes the result and
// answers questions, live and past. Its parts can be used apart: [Window] is
// the live window of one tenant, [Quantizer] reads the past and caches merged
// quanta. Package index finds entries: index.MemIndex keeps
// them in memory, drivers in sibling packages keep them in a directory or in
// DynamoDB. Values have any type with a [Merge] function; how they become bytes is the business of
// the [Blobs] store, which tiered.Store implements.
package bucket
