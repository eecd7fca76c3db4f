package stores

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"github.com/timeblob/timeblob/index"
)

// storeError names the table or bucket that failed and explains the SDK's error.
type storeError struct {
	where *location
	what  string
	err   error
}

func (e *storeError) Error() string { return fmt.Sprintf("%v: %s", e.where, e.what) }

func (e *storeError) Unwrap() error { return e.err }

// explain replaces an error of the table or bucket by one that says what to do. It keeps errors that callers
// branch on.
func (l *location) explain(err error) error {
	if err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, context.Canceled) {
		return err
	}
	if _, done := errors.AsType[*storeError](err); done {
		return err
	}
	return &storeError{l, meaning(err), err}
}

// meaning explains an error.
func meaning(err error) string {
	if none, ok := errors.AsType[*credentialsError](err); ok {
		return none.Error()
	}
	if proxy, ok := errors.AsType[*net.OpError](err); ok && proxy.Op == "proxyconnect" {
		return fmt.Sprintf("the proxy that HTTP_PROXY or HTTPS_PROXY names cannot be reached (NO_PROXY takes hosts that need none): %v", proxy.Err)
	}
	if unknown, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Sprintf("the host %s was not found", unknown.Name)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "connection refused: is the server running, and the port right?"
	}
	if answer, ok := errors.AsType[smithy.APIError](err); ok {
		return refused(answer, err)
	}
	return err.Error()
}

// refused explains an error that the service returned.
func refused(answer smithy.APIError, err error) string {
	switch answer.ErrorCode() {
	case "ResourceNotFoundException":
		return "there is no such table: --create makes it"
	case "NoSuchBucket":
		return "there is no such bucket: --create makes it"
	case "AccessDenied", "AccessDeniedException":
		return "access denied, the README lists the permissions that are needed: " + answer.ErrorMessage()
	case "ProvisionedThroughputExceededException":
		return "throttled: the table has too few provisioned units for these requests"
	case "UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignatureException",
		"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId":
		return fmt.Sprintf("the credentials were refused: %s: %s", answer.ErrorCode(), answer.ErrorMessage())
	}
	return err.Error()
}

// credentialsError says that the SDK found no credentials.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string {
	return "no credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile in AWS_PROFILE, " +
		"or write key:secret@ before the host; " + e.err.Error()
}

func (e *credentialsError) Unwrap() error { return e.err }

// finder wraps the SDK's chain of credentials, so that its errors have a type.
type finder struct{ aws.CredentialsProvider }

func (f finder) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := f.CredentialsProvider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = &credentialsError{err}
	}
	return found, err
}

// explainedIndex is an index whose errors name the table and explain the cause.
type explainedIndex struct {
	wholeIndex
	at *location
}

func (x explainedIndex) Put(ctx context.Context, row index.Row, e index.Entry) error {
	return x.at.explain(x.wholeIndex.Put(ctx, row, e))
}

func (x explainedIndex) Query(ctx context.Context, row index.Row, from, to int64) ([]index.Entry, error) {
	entries, err := x.wholeIndex.Query(ctx, row, from, to)
	return entries, x.at.explain(err)
}

func (x explainedIndex) Delete(ctx context.Context, row index.Row, entries []index.Entry) error {
	return x.at.explain(x.wholeIndex.Delete(ctx, row, entries))
}

func (x explainedIndex) Places(ctx context.Context, set index.PlaceSet, from, to int64) ([]index.Place, error) {
	places, err := x.wholeIndex.Places(ctx, set, from, to)
	return places, x.at.explain(err)
}

func (x explainedIndex) SwapPlace(ctx context.Context, set index.PlaceSet, old string, next index.Place) (bool, error) {
	swapped, err := x.wholeIndex.SwapPlace(ctx, set, old, next)
	return swapped, x.at.explain(err)
}

func (x explainedIndex) Tenants(ctx context.Context) iter.Seq2[string, error] {
	return explained(x.at, x.wholeIndex.Tenants(ctx))
}

// explainedTier is a tier whose errors name the bucket and explain the cause.
type explainedTier struct {
	deletableTier
	at *location
}

// Fault returns what keeps the tier from storing for good, where it knows that.
func (t explainedTier) Fault() error {
	if f, ok := t.deletableTier.(interface{ Fault() error }); ok {
		return f.Fault()
	}
	return nil
}

func (t explainedTier) Get(ctx context.Context, keys []string) ([][]byte, error) {
	found, err := t.deletableTier.Get(ctx, keys)
	return found, t.at.explain(err)
}

func (t explainedTier) Put(ctx context.Context, key string, blob []byte) error {
	return t.at.explain(t.deletableTier.Put(ctx, key, blob))
}

func (t explainedTier) Delete(ctx context.Context, keys []string) error {
	return t.at.explain(t.deletableTier.Delete(ctx, keys))
}

func (t explainedTier) List(ctx context.Context, prefix string, from, to int64) iter.Seq2[string, error] {
	return explained(t.at, t.deletableTier.List(ctx, prefix, from, to))
}

// explained yields what a table or bucket yields, and explains its error.
func explained[T any](l *location, found iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for v, err := range found {
			if !yield(v, l.explain(err)) {
				return
			}
		}
	}
}
