// Package journal keeps records in a directory until they are done. A record
// for which Append has returned survives a SIGKILL of the process. By default
// it also survives a power failure.
//
// A record is bytes: a kind, some meta and a blob. What they mean is the
// caller's. Append gives the record a number. Read returns it by that number,
// so a value can rest in the journal and not in memory. End says that records
// are done. After a restart, Replay returns what is not done. A second record
// can refer to the first ones by their numbers: "these became one value with
// this key".
//
// # What it costs
//
// One goroutine writes. Everything that waits while it writes and syncs is its
// next batch, so 64 writers share one fdatasync. Each record that is not done
// takes some 80 bytes of memory. See BenchmarkAppend.
//
// # Files
//
// The directory holds:
//
//	LOCK                           one process at a time has its lock (flock)
//	STATE                          which segments exist, and what was acknowledged
//	ID                             what tells this journal from others
//	0000000000000001.log …         segments: records, in the order of writing
//	….log.damaged-20260102T150405… damaged segments that were kept aside
//	….log.tmp                      a segment that is being created
//	….log.moving                   a segment that gets its right name back
//
// Only the newest segment grows. Every Open and every fault of the disk begins
// a new one. Segments are removed in the order of their ids, when all of their
// records are done. When the journal has reached half of Options.MaxBytes, and
// a quarter of its records' bytes are done, the few records that keep the oldest segment are
// copied to the end first. A journal that is nearly full does so when a sixteenth is done. So one tenant whose values cannot be stored does
// not stop the others: its records are copied once in a while.
//
// # Format
//
// All numbers are big-endian and without a sign. This section is frozen. A
// change needs another version. A segment begins with its header:
//
//	 0        8         16              24     32        36      40
//	+----------+---------+---------------+------+---------+-------+
//	| TBJOURNL | id      | first         | mark | version | crc   |
//	+----------+---------+---------------+------+---------+-------+
//
//	id       the segment's number: one more than the one before it
//	first    the sequence number of its first record
//	mark     8 random bytes, which begin each record of this segment
//	version  1
//	crc      CRC32C of the 36 bytes before it
//
// Records follow without a space between them. A record is its head, its meta
// and its blob:
//
//	 0      8     16   24     25   28     32     36     40    44
//	+------+-----+----+------+----+------+------+------+-----+------+------+
//	| mark | seq | id | kind | 0  | meta | blob | body | crc | meta | blob |
//	+------+-----+----+------+----+------+------+------+-----+------+------+
//
//	mark  the segment's
//	seq   one more than the record before it, also across segments
//	id    the record's number: its seq, or, in a copy, the seq of the original
//	kind  the caller's from 1 to 255; 0: the record's meta names records that
//	      are done
//	meta  length of meta in bytes, 4; then meta itself after the head
//	blob  length of the blob in bytes, 4; then the blob itself after meta
//	body  CRC32C of meta and blob
//	crc   CRC32C of the 40 bytes before it
//
// The meta of kind 0 is a list of numbers. Each is a signed varint (as in
// encoding/binary): its difference from the number before it, or from 0.
//
// Records with a seq from the next segment's first on do not count. They are
// left of a write that failed.
//
// STATE is rewritten in place. It fits in one sector of a disk:
//
//	 0        8         16        24       32        36     40         48     56    60
//	+----------+---------+---------+--------+---------+-----+----------+------+-----+
//	| TBJSTATE | oldest  | newest  | acked  | version | crc | TBJSDONE | done | sum |
//	+----------+---------+---------+--------+---------+-----+----------+------+-----+
//
//	oldest  the id of the oldest segment; older files are left of a crash
//	newest  the id of the newest segment, or of one shortly before it
//	acked   the seq of a record that was acknowledged, after all others before it
//	crc     CRC32C of the 36 bytes before it
//	done    every record with an id up to this one is done
//	sum     CRC32C of the 56 bytes before it
//
// Earlier versions write and read the first 40 bytes only. The rest then does not count.
//
// # Damage
//
// Open reads every byte and compares every checksum. It goes on behind what is
// damaged with the next record that has the segment's mark and a right
// checksum. When a segment's header is damaged, its records tell the mark. Sequence
// numbers, ids and STATE show what is missing: a record, a segment, or the end. Damage tells each such stretch, and says whether it is
// the torn end that a crash leaves or a hole. After a power failure in mode
// Interval or Off, the records that had not reached the disk are such a hole. A damaged segment is renamed, and
// not removed, when its records are done.
//
// CRC32C is the checksum of iSCSI (RFC 3720) and ext4, chosen because it finds
// every error burst of up to 32 bits and processors compute it. It does not
// stop somebody who can write to the directory.
//
// # Faults of the disk
//
// A write that fails is taken back, and its Appends fail. After an fdatasync
// that failed, the operating system may have dropped the data and say that all
// is well the next time (Rebello et al., "Can Applications Recover from fsync
// Failures?", USENIX ATC 2020). So the journal never syncs that file again. It
// reads back what is not known to be on the disk, verifies it, and writes it to
// a new segment. When that fails too, the Appends fail.
//
// When the disk takes no writes at all while the journal is opened, the journal is
// read-only at first. It tries again every second, and takes records when the disk
// takes writes. It stays read-only when another process has written to it meanwhile,
// or when the file of a segment has a wrong name: the next Open renames the file. The
// error of Append then wraps ErrReopen. So it does when somebody has removed the file of
// a segment, which the journal notices within a second: what waits can still be read and
// ended, but no further value is taken, since a kill would lose it.
package journal
