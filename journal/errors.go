package journal

import (
	"errors"
	"fmt"
	"io/fs"
)

// ErrClosed is returned for a journal that was closed.
var ErrClosed = errors.New("journal is closed")

// ErrReopen is what Append's error wraps, beside ErrReadOnly, when the journal takes no
// value before it is opened again, whatever its disk does.
var ErrReopen = errors.New("open the journal again")

// ErrRemoved is what Append's error wraps, beside ErrReopen, when somebody has removed
// files of the journal that is open: a kill then loses what they hold.
var ErrRemoved = errors.New("its files were removed")

// errGone is the error of Append of a journal whose files were removed.
var errGone = &refusal{": " + ErrRemoved.Error() + ": " + ErrReopen.Error(), errors.Join(ErrRemoved, ErrReopen)}

// refusal says that the journal is read-only, and why.
type refusal struct {
	reason string
	why    error
}

func (e *refusal) Error() string { return ErrReadOnly.Error() + e.reason }

func (e *refusal) Unwrap() []error { return []error{ErrReadOnly, e.why} }

// ErrReadOnly is what Append's error wraps when the journal was opened read-only,
// when its disk has taken no writes since it was opened, or when its files were removed.
var ErrReadOnly = errors.New("journal is open to read only")

// FullError is returned by Append when the journal's files have reached their
// limit. The record was not taken. Append takes records again after End has
// been called for enough older ones.
type FullError struct {
	Bytes int64 // of the journal's files, and of records that are being written
	Limit int64 // bytes from which on records are refused
	Size  int64 // bytes of the refused record
}

func (e *FullError) Error() string {
	if e.Size > e.Limit {
		return fmt.Sprintf("journal: a record of %d bytes is over the journal's limit of %d bytes", e.Size, e.Limit)
	}
	return fmt.Sprintf("journal is full: it holds %d bytes and takes records up to %d bytes; "+
		"it has room again when the store has taken the values that wait", e.Bytes, e.Limit)
}

// NotFoundError is returned by Read for a record that the journal does not
// hold: End was called for it, or there never was one.
type NotFoundError struct{ ID uint64 }

func (e *NotFoundError) Error() string { return fmt.Sprintf("journal: no record %d", e.ID) }

// Is reports that the error is fs.ErrNotExist.
func (e *NotFoundError) Is(target error) bool { return target == fs.ErrNotExist }

// CorruptError is returned by Read for a record whose bytes differ from the written bytes.
type CorruptError struct {
	ID     uint64 // the record
	File   string
	Offset int64
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("journal: record %d is damaged: %s, offset %d", e.ID, e.File, e.Offset)
}

// Corrupt makes the error one that a collector takes as final.
func (e *CorruptError) Corrupt() bool { return true }

// LockedError is returned by Open when another process holds the directory.
type LockedError struct{ Dir string }

func (e *LockedError) Error() string {
	return fmt.Sprintf("journal: another process uses %s: stop it first, or choose another directory", e.Dir)
}

// VersionError is returned by Open for a journal that a newer program wrote.
type VersionError struct{ Version uint32 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("journal: the format has version %d and this program knows %d: use a newer program", e.Version, version)
}

// Damage is one stretch of the journal that could not be read, or records that
// are missing from it.
type Damage struct {
	File   string // name in the directory
	Offset int64  // where the stretch begins in the file
	Bytes  int64  // its length; 0 when a whole file is missing

	// First and Last are the numbers in the journal's sequence of the records
	// that are missing. Both are 0 when this is not known, as at the end of
	// the journal.
	First, Last uint64

	// Torn is true at the end of the journal: what a kill or a power failure
	// leaves of a write that it interrupted. Append had not returned for such
	// a record. A damage of the very last records looks the same. It is false
	// for a hole: records were written after it, so it had been whole.
	Torn bool

	Reason string
}

func (d Damage) String() string {
	kind, missing := "hole", ""
	if d.Torn {
		kind = "torn end"
	}
	if d.Last > 0 {
		missing = fmt.Sprintf(", records %d to %d are missing", d.First, d.Last)
	}
	return fmt.Sprintf("%s in %s at offset %d, %d bytes%s: %s", kind, d.File, d.Offset, d.Bytes, missing, d.Reason)
}
