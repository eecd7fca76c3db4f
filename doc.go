// Package timeblob is the root of a library that stores mergeable values over time: topology reports, CPU
// profiles, sketches, counters, any type T for which two values merge into one. This package holds documentation
// and examples only.
//
// For each tenant the library merges the values of one tick in memory, stores the merged value as one blob, and
// records the blob's key in an index. It answers "the merge of everything in [from, to)" from memory, from caches
// or from the object store.
//
// # Which package to open first
//
// To store values of a type of your own, open these three:
//
//   - bucket: Collector takes values, flushes them and answers questions about now and the past. Quantizer answers
//     questions about the past alone. Querier asks several collectors and the store together.
//   - tiered: Store turns values into blobs and back with your codec, and reads blobs from memory, caches and the
//     store that holds all of them.
//   - local: a directory that holds index and blobs, for a process that needs no other server.
//
// For other places to keep index and blobs, add a driver: dynamoindex (index on DynamoDB), s3blob (blobs on S3),
// memcache (a cache between both), natsbus (hints between services over NATS). To write a driver of your own, read
// the interfaces index.Index and tiered.Tier; the packages indextest and tiertest test it with one call each.
//
// To run a report collector for Weave Scope, install the command reports/cmd/collector. To build it into a server
// of your own, open package reports.
//
// The examples of this package are complete programs: counters in memory, and pprof profiles in a directory.
package timeblob
