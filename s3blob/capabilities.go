package s3blob

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/aws/smithy-go"
)

// UnsupportedError says that the server refuses the headers that a put needs.
// It stays so until the server or the tier's options change.
type UnsupportedError struct {
	Bucket        string
	Unconditional bool  // Options.Unconditional was set already
	Err           error // what the server answered
}

func (e *UnsupportedError) Error() string {
	if e.Unconditional {
		return fmt.Sprintf("the server of bucket %q refuses puts: %v", e.Bucket, e.Err)
	}
	return fmt.Sprintf("the server of bucket %q refuses conditional puts (If-None-Match), which S3 has known since 2024: "+
		"set Options.Unconditional, which is ?unconditional=true in a URL: %v", e.Bucket, e.Err)
}

func (e *UnsupportedError) Unwrap() error { return e.Err }

// Remedy says what to do, in words that name neither the bucket nor the server.
func (e *UnsupportedError) Remedy() string {
	if e.Unconditional {
		return "the server refuses puts: see the log"
	}
	return "the server refuses conditional puts: set ?unconditional=true in the bucket's URL if one collector alone writes to it"
}

// server is what a tier has learned of its server. Its zero value expects
// everything of Amazon's.
type server struct {
	noChecksums atomic.Bool // it refuses x-amz-checksum-crc32 and takes Content-MD5

	mu    sync.Mutex // guards fault
	fault error      // an UnsupportedError, until a put succeeds
}

// lacksChecksums notes and logs once that the server refuses checksum headers.
func (s *server) lacksChecksums(log *slog.Logger, bucket string, err error) {
	if !s.noChecksums.Swap(true) {
		log.Warn("s3blob: the server refuses x-amz-checksum-crc32; puts send Content-MD5 from now on", "bucket", bucket, "err", err)
	}
}

// refusesHeaders reports whether a server refused a put because of a header
// that it does not know. Servers differ in how they say it.
func refusesHeaders(err error) bool {
	switch status(err) {
	case http.StatusNotImplemented:
		return true
	case http.StatusBadRequest:
		refusal, ok := errors.AsType[smithy.APIError](err)
		return ok && slices.Contains(headerRefusals, refusal.ErrorCode())
	}
	return false
}

// headerRefusals are the error codes with status 400 that may mean a header.
var headerRefusals = []string{"NotImplemented", "InvalidArgument", "InvalidRequest", "UnsupportedArgument", "UnsupportedParameter", "BadRequest"}

// setFault reports whether the fault is new.
func (s *server) setFault(fault error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := fault != nil && s.fault == nil
	s.fault = fault
	return fresh
}

// latest returns the fault of the latest put.
func (s *server) latest() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}
