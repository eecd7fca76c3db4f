// Package dynamoindex is a index.Index on Amazon DynamoDB, in the table that
// Weave Scope's collectors use: each side finds what the other has written.
//
// # Layout
//
// One item an entry. All of this section is frozen.
//
//	hour     S  partition key   "<tenant>-<hours since the epoch>", index.Row.Key
//	ts       N  sort key        the instant, Unix nanoseconds
//	report   S                  the blob's key
//
// That is all Scope writes and all that reading an entry needs. Index.Put adds
//
//	put      B                  8 random bytes that tell one call of Put from another
//	expires  N                  with Options.Retention: Unix seconds, DynamoDB's TTL attribute
//
// Items whose expires has passed are not found, whether or not DynamoDB, which
// takes up to some days, has deleted them.
//
// # Hot rows
//
// DynamoDB serves one partition key with at most 1 000 write and 3 000 read
// units a second, more than a thousand collectors of one tenant write. A row
// that is hotter than that can be spread over n keys (Options.Partitions):
// partition 0 is the row's own key, so that Scope's entries are found,
// partition p > 0 is "<row key>#p"; no tenant id holds a "#". The instant alone
// decides the partition, and so an instant is unique in the whole row:
//
//	x ← ts as uint64
//	x ← (x ⊕ x≫30) · bf58476d1ce4e5b9
//	x ← (x ⊕ x≫27) · 94d049bb133111eb
//	p = (x ⊕ x≫31) mod n
//
// The table itself says what n is, in one item, the marker. A table without it
// has n = 1, and nobody writes one who is given no more than that.
//
//	hour     S  "#partitions", the key of no row
//	ts       N  0
//	n        N  the number of partitions, 1 to 64; it only grows
//	was      N  what it was before
//	from     N  Unix seconds: from then on entries are put over n, until then over was
//
// Each Index reads the marker, strongly consistently, before its first request
// and again when what it knows is a minute old: a request a minute. It queries
// n partitions, or Options.Partitions if that is more, from the moment it reads
// n, and puts over n when from has come. A writer that is given more than n
// raises it before it puts; from is then so far ahead, 65 s and
// Options.Timeout, that every index has read the new n first. So every reader
// finds every entry, whatever it was given itself, and all writers change over
// at once. A second growth waits for the first to take effect.
//
// That rests on clocks that differ by less than 5 s. While writers' clocks
// disagree about whether from has come, while puts from before it are under
// way, or where Scope, which knows only n = 1, writes as well, one instant may
// be put in two partitions, and a query returns both entries, ordered by key,
// unless they are the same. No value is lost by that as long as blobs are put
// under keys that must not exist yet, as bucket.Collector expects: of two
// writers that choose one instant of a row, and with it one key, the later is
// refused by the store of the blobs before it puts an entry. Scope's own
// readers find the entries of partition 0 only.
//
// A query costs n requests, made at once. n cannot shrink: a table that was
// given too many is copied to another.
//
// # Consistency
//
// That a query finds every entry whose put was acknowledged before needs
// strongly consistent reads, since nothing tells how long ago an old instant
// was put: a flush may be retried for hours, a copy writes years. Reads are
// therefore strongly consistent, unless Options.Lateness promises that nobody
// puts entries later than that after their instant. From 5 s past that promise
// on a read is eventually consistent, which costs half: 0.5 read units for each
// 4 kB, some 35 entries.
//
// # Faults
//
// The SDK's standard retryer resends what was throttled, what failed with a
// status of 500 or above, what was cut, was corrupt by its CRC-32 or took too
// long, up to Options.Attempts times, after a random pause of up to 50, 100,
// 200, … ms, four times that when throttled. Not its adaptive mode: that slows
// the client down as a whole, while DynamoDB throttles keys one by one, so one
// hot tenant would hold up all the others.
//
// The SDK bounds retries by a bucket of 500 tokens, 5 a retry, which only
// successes refill: after an outage a client with few requests would go without
// retries for hours. Here time refills it as well, 50 tokens a second: an
// outage has at most 10 retries a second, and 10 s after it the bucket is full.
//
// An attempt whose answer was lost may have put its entry, and the next one
// then finds the instant taken. The item's put attribute says by whom, so that
// this is a success and another writer's entry, even one of the same key, is
// not.
//
// # Permissions
//
// Query, PutItem and GetItem on the table; CreateTable wants DescribeTable,
// CreateTable and, with a retention, DescribeTimeToLive and UpdateTimeToLive;
// Rows and what builds on it want Scan.
//
// # Why the SDK
//
// aws-sdk-go-v2 is Amazon's own client, released weekly. It signs, finds
// credentials and regions wherever AWS puts them, and lets retries, deadlines
// and metrics be plugged in. It checks DynamoDB's checksums and only logs what
// it finds; this package checks them itself.
package dynamoindex
