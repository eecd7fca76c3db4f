package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
)

// Reason says why a handler did not answer, or why a value is missing.
type Reason string

// The reasons. A reason that a client does not know is like Failed.
const (
	Refused  Reason = "refused"   // the request is wrong; the same request will be refused again
	Coarser  Reason = "coarser"   // as *bucket.CoarserError
	TooLarge Reason = "too large" // the range has too many entries or bytes
	Closed   Reason = "closed"    // the collector is closed
	Unstable Reason = "unstable"  // as bucket.ErrUnstable; ask again
	NoBlob   Reason = "no blob"   // as bucket.ErrNoBlob
	Timeout  Reason = "timeout"   // a deadline of the server's passed
	Failed   Reason = "failed"    // anything else
)

// sentinels are the errors that keep their identity on the way to the client.
var sentinels = map[Reason]error{
	Closed:   bucket.ErrClosed,
	Unstable: bucket.ErrUnstable,
	NoBlob:   bucket.ErrNoBlob,
	Timeout:  context.DeadlineExceeded,
}

// statuses are the reasons' HTTP statuses.
var statuses = map[Reason]int{
	Refused:  http.StatusBadRequest,
	Coarser:  http.StatusBadRequest,
	TooLarge: http.StatusUnprocessableEntity,
	Closed:   http.StatusServiceUnavailable,
	Unstable: http.StatusServiceUnavailable,
	Timeout:  http.StatusGatewayTimeout,
}

// reasonOf returns the reason that stands for an error.
func reasonOf(err error) Reason {
	var (
		said    *Error
		request *requestError
		tenant  *index.TenantError
		span    *bucket.RangeError
		coarser *bucket.CoarserError
		bytes   *bucket.RangeTooLargeError
		entries *bucket.TooManyError
		blobs   *bucket.MissingError
	)
	switch {
	case errors.As(err, &said):
		return said.Reason
	case errors.As(err, &request), errors.As(err, &tenant), errors.As(err, &span):
		return Refused
	case errors.As(err, &coarser):
		return Coarser
	case errors.As(err, &bytes), errors.As(err, &entries):
		return TooLarge
	case errors.As(err, &blobs):
		return NoBlob
	}
	for reason, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			return reason
		}
	}
	return Failed
}

// Error is what a handler said in place of an answer, or about a value that is
// missing. It is bucket.ErrClosed, bucket.ErrUnstable, bucket.ErrNoBlob or
// context.DeadlineExceeded to errors.Is, and a *bucket.CoarserError to errors.As,
// when its reason says so. Of a value that is missing, a CoarserError is known by its
// Reason alone.
type Error struct {
	Server  string // the client's String
	Reason  Reason
	Message string // of the error on the server

	coarser *bucket.CoarserError // with the reason Coarser
}

// newError returns what a server said, with the detail that detailOf returned there.
func newError(server string, reason Reason, detail, message string) *Error {
	e := &Error{Server: server, Reason: reason, Message: message}
	var ranges ranges
	if reason == Coarser && json.Unmarshal([]byte(detail), &ranges) == nil {
		e.coarser = (*bucket.CoarserError)(&ranges)
	}
	return e
}

// ranges are the fields of a bucket.CoarserError as they are sent. Frozen.
type ranges struct {
	Tenant      string    `json:"tenant"`
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	NearestFrom time.Time `json:"nearestFrom"`
	NearestTo   time.Time `json:"nearestTo"`
}

// detailOf returns what a client needs beside the reason to make the error again.
func detailOf(err error) string {
	coarser, ok := errors.AsType[*bucket.CoarserError](err)
	if !ok {
		return ""
	}
	r := ranges(*coarser)
	for _, t := range []*time.Time{&r.From, &r.To, &r.NearestFrom, &r.NearestTo} {
		*t = t.UTC()
	}
	b, _ := json.Marshal(r) // nothing in it can fail: the years of Unix nanoseconds have four digits
	return string(b)
}

func (e *Error) Error() string { return e.Server + ": " + e.Message }

// Unwrap returns the error that the reason stands for.
func (e *Error) Unwrap() error {
	if e.coarser != nil {
		return e.coarser
	}
	return sentinels[e.Reason]
}

// FormatError says that an answer is not one that the client understands: it was cut short, comes from another version or another program, or holds a blob that the codec refuses.
type FormatError struct {
	Server string // the client's String
	Err    error  // io.ErrUnexpectedEOF for an answer that was cut short
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s: the answer cannot be read: %v", e.Server, e.Err)
}

// Unwrap returns Err.
func (e *FormatError) Unwrap() error { return e.Err }

// TooLargeError says that an answer has more bytes than ClientOptions.MaxBytes.
type TooLargeError struct {
	Server string // the client's String
	Limit  int64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s: the answer has more than %d bytes: ask for a shorter range, or raise MaxBytes", e.Server, e.Limit)
}

// requestError says that a request is wrong.
type requestError struct{ text string }

func (e *requestError) Error() string { return e.text }
