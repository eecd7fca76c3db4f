// Package levels decides when the stored merge of a span of time may stand
// for the span's entries. It works on places of an index and on keys; it
// knows neither values nor blobs. Package rollup builds with it, package plan reads.
//
// # Words
//
//	level    a span length; each is a multiple of the one below. Spans are
//	         aligned to the Unix epoch.
//	roll-up  the merge of all of a tenant's entries in one span, stored as a
//	         blob.
//	place    where the index keeps a span's state: hold, claim, seal, void or
//	         open. A place that was never written is empty.
//	seal     a roll-up stands for the span.
//	final    a seal so old that retention removes its entries, or soon will. No
//	         write makes it so.
//	hold     an entry of the span is about to be written or deleted.
//	claim    a builder is merging the span.
//	void     a roll-up of the span does not pay; nobody tries again.
//	open     a seal was broken.
//
// # Protocol
//
// Three statements hold at every moment. A visible seal equals the entries of
// its span. Once a put has returned, no visible seal covers its instant
// without the entry. Once a delete has returned, no visible seal holds the
// entry.
//
// A writer of a late entry first holds the span of every level, lowest first,
// and then puts the entry before its deadline. A hold lasts until that
// deadline plus the time that a request may still take effect after its sender
// gave it up. A builder claims a span that ended longer than the lateness ago,
// reads it after that, stores the merge, and replaces its own claim by the
// seal. Every write replaces exactly the state that was read, so a hold that
// came in between makes the seal fail. No state of the protocol deletes a
// place, and every write gives it a new ID, so a place never returns to a
// state that somebody remembers.
//
//	         put of an early entry needs no hold
//	                        │
//	empty ──claim──▶ claim ──seal──▶ seal, final by its age
//	  │                │  └──void──▶ void              (refuses holds)
//	  │                │               │     │
//	  └──────hold──────┴─────hold──────┴─────┴──▶ hold ──claim, once expired──▶ claim
//	                     seal ──break──▶ open ──claim──▶ claim
//
// Clocks may differ from the store's by the skew. An expiry counts as passed
// for claims only twice that time later.
//
// The tests run this package's own code under schedules in which requests come
// late, twice or never, clocks differ and processes crash. They try every
// schedule of small cases and random ones of large cases, and must find each of
// a list of faults that they build in.
package levels
