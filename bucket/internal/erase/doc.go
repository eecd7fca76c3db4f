// Package erase removes a tenant's entries from an index and then their blobs
// from a blob store.
//
// # Order
//
// A range goes in rounds, each of so many entries. A round
//
//	removes the entries        no question that begins later sees them
//	lists the range's keys     where the store can: blobs without an entry
//	waits                      for questions that have read the entries
//	reads the range's rows     entries that came meanwhile keep their blobs;
//	                           an entry that was removed and came back goes again
//	deletes the blobs
//	reads the range's rows     entries that came while blobs were deleted go, too
//
// A blob that no entry names may be on its way into the index. The wait gives
// it time to arrive, and the reading then finds it named. An entry that comes later
// still, and before the last reading, is removed. After the last reading all blobs are
// gone, so a writer that puts its blob again when it has put a late entry loses nothing.
//
// A round that is interrupted leaves blobs without entries. The next call for
// the same range finds them by listing. A range of more than a year is not
// listed as a whole, only from its first entry on: its first entry therefore
// goes last, after all that it helps to find. Before it goes, its instant and key
// are noted in a place of the index, if that offers places. The next call for the
// range removes what is noted.
package erase
