// Package plan answers questions about stored values: which entries a range
// has, which spans of them are merged already, which blobs to fetch, and how
// to merge them.
//
// # Pieces
//
// A question is merged from pieces: entries of the index, and roll-ups of spans
// that are sealed. It reads the seals of its range first, the longest spans first,
// and then the entries between them. A roll-up is not used where a source may
// hold a value of its span, and where it would be in two slices of Steps. A
// roll-up that the store does not have, or that does not decode, is replaced by
// what lies below it, and its seal is broken.
//
// # A span whose merge is kept
//
// A kept merge is found by the tenant and the fingerprint of its pieces, so a late
// entry makes another span, and a kept merge is never wrong. At least two pieces
// make one; the value of a single piece rests in the blob store's memory. Kept are
// the merges of
//
//	whole  a quantum, a minute, an hour or a day, aligned to the epoch, that
//	       ended long enough ago and is not within a longer one
//	row    several such spans of one length in a row, except quanta
//	run    all pieces of a question
//
// The lengths are the quantum and the index's levels. So a range that moves by a
// tick finds the rows of its days, hours and minutes again, and merges them with
// the pieces at its edges in one call. Pieces in no span are loose: they are
// fetched and merged flat, all in one call.
//
// # One question
//
//  1. Read the seals, and the rows of the index between them: nothing where the index
//     counts its writes and nothing has changed, and all at the same time where the
//     index is in another process.
//  2. Look for the merge of the whole run.
//  3. Cut the pieces into units: rows, whole spans and loose pieces.
//  4. Merge each row and each span of more than a batch by itself, side by side.
//  5. Fetch the other units batch by batch, with one call of Blobs.Get each, and
//     merge everything.
//
// The merge of a unit and of a run is made once, however many questions want
// it at the same time. When the merge function refuses values, all pieces of the
// question are merged flat: with more values it is clearer which one is bad.
//
// # Memory
//
// A fetch is charged against one budget of decoded bytes that all questions of
// a Past share. It waits for room before it reads a blob, and gives the room
// back when the blobs are merged. Only the question that fetches is charged,
// and it waits for no other question while it is charged.
package plan
