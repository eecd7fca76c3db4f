package wire

import (
	"errors"
	"fmt"
)

// These errors say what is wrong with the bytes of a report. Errors of this
// package wrap one of them, a [*TooLargeError], or the error of a reader.
var (
	// ErrTruncated means that the bytes end before the report does, or that a
	// length in them reaches beyond their end.
	ErrTruncated = errors.New("it ends too early")
	// ErrTrailing means that something follows the report.
	ErrTrailing = errors.New("something follows after its end")
	// ErrChecksum means that the checksum or the length of a compressed report
	// does not match its contents.
	ErrChecksum = errors.New("checksum or length does not match")
	// ErrCorrupt means that the bytes are not what they should be: not gzip or
	// zstd, not msgpack, not JSON, or not a report.
	ErrCorrupt = errors.New("malformed")
)

// TooLargeError says that a report was refused for its size before it was read
// to its end.
type TooLargeError struct {
	What  string // what was too large, such as "report body"
	Limit int64  // in bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s is larger than %d bytes", e.What, e.Limit)
}

// A SyntaxError says where in a report a decoder gave up. It wraps
// [ErrTruncated], [ErrTrailing], [ErrCorrupt] or a [*TooLargeError].
type SyntaxError struct {
	Path string // such as `Endpoint.nodes["a;b"].latest`; empty is the report itself
	Err  error
}

func (e *SyntaxError) Error() string {
	if e.Path == "" {
		return "decode report: " + e.Err.Error()
	}
	return "decode report: " + e.Path + ": " + e.Err.Error()
}

func (e *SyntaxError) Unwrap() error { return e.Err }
