package bucket

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// ErrClosed is returned by a Collector that was closed.
var ErrClosed = errors.New("collector is closed")

// FullError is returned by Add when too many bytes wait to be stored: the
// store is slower than what arrives, or away. The value was not taken; try
// again later, unless its size alone is over the limit.
type FullError struct {
	Pending, Limit, Size int64 // bytes
	OfTenant             bool  // Pending and Limit are the tenant's own; others' values are still taken
}

func (e *FullError) Error() string {
	all, of := "all that waits", ""
	if e.OfTenant {
		all, of = "what waits of one tenant", " of this tenant"
	}
	if e.Size > e.Limit {
		return fmt.Sprintf("a value of %d bytes is over the limit of %d for %s to be stored", e.Size, e.Limit, all)
	}
	return fmt.Sprintf("%d bytes%s wait to be stored and the limit is %d: try again later", e.Pending, of, e.Limit)
}

// JournalError says that the journal has not taken a value, because it is full or
// its disk fails, or that it could not read one. A value that was to be added was
// not taken: try again later.
type JournalError struct{ Err error }

func (e *JournalError) Error() string {
	return "the journal of values that wait to be stored: " + e.Err.Error()
}

func (e *JournalError) Unwrap() error { return e.Err }

// SourceError says that a source of a Querier did not answer.
type SourceError struct {
	Source string // its String, or its place among the question's sources
	Err    error
}

func (e *SourceError) Error() string { return e.Source + " does not answer: " + e.Err.Error() }

func (e *SourceError) Unwrap() error { return e.Err }

// TenantLimitError is returned by Add for a value of a new tenant when the
// collector holds as many tenants as it may. A tenant without values in memory makes room for another.
type TenantLimitError struct {
	Tenant string
	Limit  int // CollectorOptions.MaxTenants
}

func (e *TenantLimitError) Error() string {
	return fmt.Sprintf("tenant %q is new, and the limit of tenants with values in memory is reached (MaxTenants: %d): "+
		"try again later, or raise it", e.Tenant, e.Limit)
}

// InstantError is returned by Add for an AddOptions.At that no value can have.
type InstantError struct {
	At     time.Time
	Reason string
}

func (e *InstantError) Error() string {
	return fmt.Sprintf("instant %s: %s", e.At.Format(time.RFC3339Nano), e.Reason)
}

// EncodeError says that a value of a tick cannot be encoded. It is permanent:
// the value is dropped, and CollectorOptions.Failed is told.
type EncodeError struct {
	Tenant string
	Time   time.Time // the value's instant
	Err    error     // of the codec; a *PanicError when it panicked
}

func (e *EncodeError) Error() string {
	return fmt.Sprintf("encode the value of tenant %q, instant %s: %v", e.Tenant, e.Time.UTC().Format(time.RFC3339Nano), e.Err)
}

func (e *EncodeError) Unwrap() error { return e.Err }

// TooLargeError says that a blob is larger than the store takes. A tick that was
// merged of several values is then stored as several entries. The error is
// permanent for a single value: Add returns it for a blob, and
// CollectorOptions.Failed is told of a value.
type TooLargeError struct {
	Tenant string
	Size   int64 // the blob's, in bytes
	Limit  int64 // CollectorOptions.MaxBlob; 0 when the store refused the blob
	Err    error // the store's, if it refused the blob
}

func (e *TooLargeError) Error() string {
	s := fmt.Sprintf("a value of tenant %q is too large to be stored: its blob has %d bytes", e.Tenant, e.Size)
	if e.Limit > 0 {
		s += fmt.Sprintf(", and the limit is %d", e.Limit)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *TooLargeError) Unwrap() error { return e.Err }

// TooLarge makes the error one that tooLarge knows.
func (e *TooLargeError) TooLarge() bool { return true }

// tooLarge reports whether an error says that a blob is too large for the
// store. A driver or a codec says so by an error with a method TooLarge that
// returns true.
func tooLarge(err error) bool {
	large, ok := errors.AsType[interface {
		error
		TooLarge() bool
	}](err)
	return ok && large.TooLarge()
}

// isOwn reports whether an error says that an earlier attempt has stored the blob. A
// driver says so by an error with a method Own that returns true.
func isOwn(err error) bool {
	own, ok := errors.AsType[interface {
		error
		Own() bool
	}](err)
	return ok && own.Own()
}

// underway is an error of index.Committer that knows whether the commit may still take effect.
type underway interface {
	error
	Underway() bool
}

// errWithdrawn ends an attempt at a value that a deletion has withdrawn.
var errWithdrawn = errors.New("the value was deleted meanwhile")

// permanent reports whether another attempt to store a value must fail too.
func permanent(err error) bool {
	_, unable := errors.AsType[*EncodeError](err)
	_, final := errors.AsType[*FinalError](err)
	return unable || final || tooLarge(err) || isLost(err)
}

// lostError says that a record of the journal can never be read again.
type lostError struct {
	record uint64
	err    error // the journal's
}

func (e *lostError) Error() string {
	return fmt.Sprintf("the value of record %d is lost: %v", e.record, e.err)
}

func (e *lostError) Unwrap() error { return e.err }

// isLost reports whether an error says that a record of the journal is lost.
func isLost(err error) bool {
	_, lost := errors.AsType[*lostError](err)
	return lost
}

// neverRead reports whether an error of a journal's Read says that no later Read will
// find the record.
func neverRead(err error) bool {
	damaged, ok := errors.AsType[interface {
		error
		Corrupt() bool
	}](err)
	return ok && damaged.Corrupt() || errors.Is(err, fs.ErrNotExist)
}

// UndeliveredError is returned by Flush and Close for values that could not be
// made discoverable in time.
type UndeliveredError struct {
	Values []Undelivered // ascending by Time
	Cause  error         // of the context that ended the flush
}

// Undelivered is a value that is not in the index, and why.
type Undelivered struct {
	Tenant string
	Time   time.Time // the value's instant
	Err    error     // of the last attempt; nil when there was none
}

func (e *UndeliveredError) Error() string {
	first := e.Values[0]
	s := fmt.Sprintf("%d values not delivered, the first of tenant %q, instant %s",
		len(e.Values), first.Tenant, first.Time.UTC().Format(time.RFC3339Nano))
	if first.Err != nil {
		s += ": " + first.Err.Error()
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the errors of the last attempts and the context's.
func (e *UndeliveredError) Unwrap() []error {
	var errs []error
	for _, v := range e.Values {
		if v.Err != nil {
			errs = append(errs, v.Err)
		}
	}
	if e.Cause != nil {
		errs = append(errs, e.Cause)
	}
	return errs
}
