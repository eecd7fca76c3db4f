// Package local is an index and the authority for its blobs in one directory:
// the embedded default, for one process on one machine. A DB commits an entry
// and its blob in one synced write, answers rows by key range, and can drop
// what is older than a retention.
//
// # Layout
//
// The directory holds a Pebble store, its lock file LOCK, SYNCED, SYNCED-MANIFEST and
// FORMAT. FORMAT says "timeblob local 2\n": 2 is the format version, and this whole
// section is frozen with it. SYNCED says how much of the newest log was on disk. It
// tells a damaged log from a log whose last write a crash cut. SYNCED-MANIFEST says the
// same of the newest manifest. Both may be missing. UNFINISHED is in a directory that a
// repair has begun and not finished, which Open refuses. JOURNAL names the journal that [DB.Rely]
// named, and TAKEN the records that [DB.Took] named. Open leaves other files alone.
//
// A plain copy (cp) of the directory of a running store is no backup: Open may refuse
// it as damaged. [DB.Backup] makes a backup.
//
// Keys are:
//
//	entry          01 | hour, 8 | length of tenant, 1 | tenant | instant, 8
//	               value: the blob's key, or
//	               ff | 01 | size, uvarint | sum, 16 | the blob's key
//	blob           02 | hour, 8 | the blob's key
//	               value: the blob
//	age-less blob  03 | the blob's key
//	               value: the blob
//	place          04 | level, 8 | block, 8 | length of tenant, 1 | tenant | start, 8
//	               value: length of ID, uvarint | ID | expires, varint | state
//
// Version 1 has entries of the first form only and no places. A directory of
// version 1 is raised to version 2 when it is opened, and its entries stay as
// they are.
//
// Hours (since the epoch, as in index.Row) and instants (Unix nanoseconds)
// are big-endian with the sign bit flipped, so that keys order as they do,
// also before 1970. The hour of a blob is the hour of the instant that index.ParseBlobKey reads in its key; a key it does not read makes the blob
// age-less. For tenant "a-" and the instant 1.7·10¹⁸ an entry's key is
//
//	01  80 00 00 00 00 07 34 9e  02  61 2d  97 97 9c fe 36 2a 00 00
//
// The hour comes first so that the oldest hours of all tenants are one range:
// retention is two range deletions, whatever the number of tenants. A row is
// one range as well. The block of a place is floor(start / (64 · level)), so that
// the oldest places of all tenants are one range too, and 64 neighbours of one
// tenant are another; it is 0 when level is 0 or above 2⁶³/64. New keys sort near the end, so compactions mostly move
// tables, and seldom rewrite them.
//
// # Retention
//
// Only whole hours go. A blob goes an hour after the entries of its hour, so
// no entry outlives its blob as long as its key was made less than an hour
// before the instant it stands for. Age-less blobs are never removed.
//
// # Crashes and faults
//
// A write that has returned survives a crash of the machine (with Options.NoSync:
// of the process; with Options.NoLog: see there), one that has not is there whole or not at all. A write to disk that
// fails is treated as a crash: see DB. Every read is checked against a checksum; a block that is unreadable or corrupt is an error, never absent.
//
// # Why Pebble
//
// The store needs ordered keys, atomic synced batches whose concurrent writers
// share syncs, range deletion that gives the room back, and checksums. Pebble
// (v2.1) has all of these, is pure Go, and is what CockroachDB runs on and
// maintains. A B+tree (bbolt) has one writer, syncs every transaction and does
// not shrink; Badger collects the garbage of its value log by hand. Pebble is
// heavy, mostly by its error library (which brings sentry and protobuf) and
// its metrics: some 190 packages, 12 MB in a stripped binary.
//
// Values stand in the tables of their keys. Pebble can keep large values in
// files of their own (value separation), and earlier versions of this package
// did. Directories with such files are read as before, and compactions bring
// the values back. With separation 2.0 bytes were written for each byte of blob,
// log included, and without 2.6 (16 tenants, a day of blobs of 20 kB,
// BenchmarkDay); reads take the same time (BenchmarkGetCPU). That price buys
// tables that can be read without the manifest, so that a damaged directory can
// be repaired, and it avoids Pebble 2.1's panics on a missing value file.
package local
