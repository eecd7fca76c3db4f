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
//
// A tenant is one series of values. Its id is empty, or 1 to 64 of the ASCII letters,
// digits and "-_." (see index.CheckTenant). For series that are named by labels, use a
// hash of the labels, and ask for several series at once with RangeMany: the repository's
// examples/profiles does so.
//
// # A collector
//
// Package embedded makes one of a codec, a merge function and a directory. The parts by
// hand are an index, an authority that holds the blobs, and a collector over both:
//
//	blobs, err := tiered.New(codec, authority, nil)                   // authority: a tiered.Tier
//	c, err := bucket.NewCollector(index.NewMemIndex(), blobs, merge, nil)
//	go c.Run(ctx)                                                     // seals and stores each tick
//	err = c.Add(ctx, "acme", value, nil)
//	answer, err := c.Range(ctx, "acme", from, to, nil)
//	err = c.Close(ctx)                                                // stores what is pending
//
// A [Querier] answers for several collectors on one index and authority. With
// [LevelOptions] merges of minutes, hours and days are stored, so that long ranges cost
// little. A [Journal] keeps what was added through a crash.
//
// # Functions of the user
//
// Codec, merge, size, clone and callbacks may fail, panic, be slow, or never return. A
// panic is a [*PanicError]. Each hurts only the value that it was given, and at most its
// tenant. They must not change what they are given, nor keep it to change it later;
// codectest.Run checks a codec and a merge.
//
// Codec, merge, Into, size and clone must not call the collector, which may wait for them
// with the tenant locked. The callbacks Stored, Failed and Progress may add values and ask
// questions. Flush, Close and Delete wait for Stored and Failed: a callback that calls one
// of them waits for itself, until the context ends.
package bucket
