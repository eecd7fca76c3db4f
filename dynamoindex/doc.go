// Package dynamoindex is an index.Index on Amazon DynamoDB, in the table that
// Weave Scope's collectors use: each side finds what the other has written.
//
// # Layout
//
// One item for each entry. All of this section is frozen.
//
//	hour     S  partition key   "<tenant>-<hours since the epoch>", index.Row.Key
//	ts       N  sort key        the instant, Unix nanoseconds
//	report   S                  the blob's key
//
// That is all that Scope writes and all that reading an entry needs. Index.Put
// adds
//
//	put      B                  8 random bytes that tell one call of Put from another
//	size     N                  the blob's length in bytes, where it is known
//	sum      B                  the blob's blob.Sum, 16 bytes, where it is known
//	expires  N                  with Options.Retention: Unix seconds, DynamoDB's TTL attribute
//
// An entry without size or sum, or with one that cannot be read, is an entry
// whose size or sum is unknown. Entries whose expires has passed are not found,
// whether or not DynamoDB has deleted them, which takes up to some days. An
// item without the attribute report is not an entry, and reading entries
// ignores it. So it does with every item whose hour contains a "#", which is
// part of no tenant's id.
//
// A place (index.Places) is one item:
//
//	hour     S  partition key   "#level/<level in nanoseconds>/<tenant>"
//	ts       N  sort key        the span's first instant, Unix nanoseconds
//	id       S                  the ID of the last write
//	state    B                  the state, absent when it is empty
//	expires  N                  Unix seconds, DynamoDB's TTL attribute; 0 is never
//
// Readers of entries never ask for such an hour. Versions of this package that
// do not know places read the whole table for Rows, and fail at items that
// they do not know; but they leave out what has expired, as an item with
// expires 0 has. DynamoDB itself does not delete that item: its TTL ignores a
// time that is more than five years past. A place that does expire makes the
// command copy of such versions fail while no tenant is named. A place whose
// expires has passed is empty, whether or not DynamoDB has deleted it.
//
// # One partition key for a row
//
// DynamoDB serves one partition key with at most 1 000 write units a second,
// and an entry takes one. A collector writes one entry for a tenant each tick:
// at the default tick of 3 s a tenant needs 3 000 collectors to reach the
// bound. Reading is served with 3 000 units a second, half a unit for each
// kB or so. Earlier versions could spread a row over several partition keys
// for the sake of more, and kept their number in an item:
//
//	hour     S  "#partitions"
//	ts       N  0
//	n        N  the number of partitions
//
// A table whose n is more than 1 is refused with an error, since a reader that
// knows one partition key would answer in part. Each Index looks for the item
// once, before its first request.
//
// # Consistency
//
// All reads are strongly consistent. A query finds every entry whose put was
// acknowledged before, and nothing tells how long ago an old instant was put:
// a flush may be retried for hours, a value may be added at a past instant, and
// a copy writes years. A read unit is 4 kB, some 25 entries.
//
// # Faults
//
// The SDK's standard retryer resends a request that was throttled, that failed
// with a status of 500 or above, whose answer was cut or corrupt by its CRC-32,
// or that took too long. It sends a request up to Options.Attempts times, with
// random pauses of up to 50, 100, 200, … ms, four times as long after
// throttling. The SDK's adaptive mode is not used: it slows the client down as
// a whole, while DynamoDB throttles keys one by one, so one hot tenant would
// hold up all the others.
//
// The SDK bounds retries by a bucket of 500 tokens, 5 for each retry, which only
// successes refill: after an outage a client with few requests would go without
// retries for hours. Here time refills it as well, for Options.RetryRate
// retries a second.
//
// An attempt whose answer was lost may have put its entry, and the next attempt
// then finds the instant taken. The item's put attribute tells whose it is: the
// put's own entry is a success, and another writer's entry is not, even with
// the same key.
//
// # Permissions
//
// Query, PutItem and GetItem on the table; Delete needs DeleteItem; CreateTable
// needs DescribeTable, CreateTable and, with a retention, DescribeTimeToLive
// and UpdateTimeToLive; Rows, Tenants, and Entries of more than a year, need Scan.
//
// # Why the SDK
//
// aws-sdk-go-v2 is Amazon's own client, released weekly. It signs, finds
// credentials and regions wherever AWS puts them, and lets retries, deadlines
// and metrics be plugged in. It checks DynamoDB's checksums and only logs what
// it finds; this package checks them itself.
package dynamoindex
