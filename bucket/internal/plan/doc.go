// Package plan answers questions about stored values: which entries a range
// has, which spans of them are merged already, which blobs to fetch, and how
// to merge them.
//
// # A span whose merge is kept
//
// A span is an ordered list of one tenant's entries, at least two of them. Its
// name is the tenant and the fingerprint of its entries, so a late entry makes
// another span, and a kept merge is never wrong. Two kinds of spans exist: a
// quantum, which is a fixed slice of time, aligned to the epoch, that ended
// long enough ago; and the run of all entries of a question. Entries that are
// in no quantum are loose: they are fetched and merged flat, all in one call.
// A single entry is no span: its value rests in the blob store's memory.
//
// # One question
//
//  1. Read the rows of the index that the range touches.
//  2. Look for the merge of the whole run.
//  3. Cut the entries into batches of segments, one segment a quantum.
//  4. Look for the merges of the batch's quanta, and fetch what is missing
//     with one call of Blobs.Get: the entries of missing quanta and the loose
//     ones.
//  5. Merge each missing quantum, then everything.
//
// The merge of a quantum and of a run is made once, however many questions want
// it at the same time.
//
// # Memory
//
// A fetch is charged against one budget of decoded bytes that all questions of
// a Past share. It waits for room before it reads a blob, and gives the room
// back when the blobs are merged. Only the question that fetches is charged,
// and it waits for no other question while it is charged.
package plan
