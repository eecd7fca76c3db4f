package s3blob

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Put stores a blob as a new object. When the key is taken it changes nothing
// and returns an error that is fs.ErrExist. With any other error the blob may
// or may not be stored. Repeat such a Put with the same key and bytes: the tier
// recognises the object that its own earlier requests have stored. It returns nil
// when this Put has sent the request, and ErrOwn when an earlier one has. It
// remembers the latest 10 000 puts that ended so.
//
// How many Puts are under way at a time is up to the callers.
func (t *Tier) Put(ctx context.Context, key string, blob []byte) error {
	if int64(len(blob)) > t.opts.MaxBlob {
		return fmt.Errorf("a blob of %d bytes: %w", len(blob), ErrTooLarge)
	}
	within, cancel := context.WithTimeout(ctx, t.opts.Timeout)
	defer cancel()
	p := t.puts.begin(key, blob)
	err := t.put(within, p, blob)
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrExist) {
		return err
	}
	t.puts.unknown(p, blob)
	return t.failure(ctx, err)
}

// put stores the blob of p, unless the key is taken by an object that is not
// p's own.
func (t *Tier) put(ctx context.Context, p put, blob []byte) error {
	if t.opts.Unconditional {
		// Of the Puts of one key that are under way in this tier, one goes on.
		if _, taken := t.writing.LoadOrStore(p.key, true); taken {
			return fs.ErrExist
		}
		defer t.writing.Delete(p.key)
	}
	if p.again || t.opts.Unconditional {
		done, err := t.tookEffect(ctx, p)
		if err != nil {
			return err
		}
		if done {
			return ErrOwn
		}
	}
	err := t.write(ctx, p, blob)
	if status(err) != http.StatusPreconditionFailed {
		return err
	}
	// An attempt that took effect but was reported as failed looks the same as
	// another writer's object.
	if done, err := t.tookEffect(ctx, p); done || err != nil {
		return err
	}
	return errTakenByNone
}

// ErrOwn is returned by a Put whose blob an earlier Put of the tier has stored, which
// seemed to fail. It is fs.ErrExist too, and has the method Own that tiered.Tier
// speaks of: the object is as old as the earlier Put.
var ErrOwn error = ownError{}

type ownError struct{}

func (ownError) Error() string     { return "an earlier put, which seemed to fail, has stored the blob" }
func (ownError) Is(err error) bool { return err == fs.ErrExist }
func (ownError) Own() bool         { return true }

// errTakenByNone says that the answers of a server contradict each other. Either the
// object was deleted between them, or one of them is wrong. The object is not there, so
// the put must be repeated.
var errTakenByNone = errors.New("the key is taken, says the server, but there is no object")

// tookEffect reports whether the key has an object: done is true with no error
// when p has put it, and false when there is none. The error is fs.ErrExist
// when another put has.
func (t *Tier) tookEffect(ctx context.Context, p put) (done bool, err error) {
	head, err := t.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(t.bucket), Key: aws.String(p.key)})
	switch {
	case status(err) == http.StatusNotFound:
		return false, nil
	case err != nil:
		return false, err
	case aws.ToString(head.ETag) == "":
		return false, errNoETag
	case head.Metadata[metaPut] != p.id:
		return false, fs.ErrExist
	}
	return true, nil
}

// write sends the blob. A server that refuses what a put asks of it is sent the
// put again in a form that older servers take, and the tier remembers it.
func (t *Tier) write(ctx context.Context, p put, blob []byte) error {
	if t.server.noChecksums.Load() {
		return t.judged(t.writeAs(ctx, p, blob, withMD5))
	}
	first := t.writeAs(ctx, p, blob, withCRC32)
	if !refusesHeaders(first) {
		return t.judged(first)
	}
	err := t.writeAs(ctx, p, blob, withMD5)
	if err == nil || status(err) == http.StatusPreconditionFailed {
		t.server.lacksChecksums(t.opts.Logger, t.bucket, first)
	}
	return t.judged(err)
}

// writeAs is one call of the SDK, with its retries.
func (t *Tier) writeAs(ctx context.Context, p put, blob []byte, check func(*s3.PutObjectInput, []byte) []func(*s3.Options)) error {
	input := &s3.PutObjectInput{
		Bucket:        aws.String(t.bucket),
		Key:           aws.String(p.key),
		Body:          bytes.NewReader(blob),
		ContentLength: aws.Int64(int64(len(blob))),
		ContentType:   aws.String(t.opts.ContentType),
		Metadata:      map[string]string{metaPut: p.id},
	}
	if !t.opts.Unconditional {
		input.IfNoneMatch = aws.String("*")
	}
	answer, err := t.client.PutObject(ctx, input, check(input, blob)...)
	if err == nil && aws.ToString(answer.ETag) == "" {
		return errNoETag
	}
	return err
}

// withCRC32 sends the blob's CRC-32 in a header. Over TLS the SDK would send a
// checksum behind the body, which some S3-compatible servers do not
// understand.
func withCRC32(input *s3.PutObjectInput, blob []byte) []func(*s3.Options) {
	input.ChecksumCRC32 = aws.String(base64.StdEncoding.EncodeToString(
		binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(blob))))
	return nil
}

// withMD5 sends the checksum in Content-MD5, a header that every S3 server knows.
func withMD5(input *s3.PutObjectInput, blob []byte) []func(*s3.Options) {
	sum := md5.Sum(blob)
	input.ContentMD5 = aws.String(base64.StdEncoding.EncodeToString(sum[:]))
	return []func(*s3.Options){func(o *s3.Options) {
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	}}
}

// judged turns a refusal of a put's headers into an UnsupportedError, which it
// keeps for Fault and logs once. It returns other errors as they are.
func (t *Tier) judged(err error) error {
	if err == nil {
		t.server.setFault(nil)
	}
	if !refusesHeaders(err) {
		return err
	}
	fault := &UnsupportedError{t.bucket, t.opts.Unconditional, err}
	if t.server.setFault(fault) {
		t.opts.Logger.Error("s3blob: no blob can be stored", "err", fault)
	}
	return fault
}

// Fault returns an UnsupportedError when the server has refused the latest put
// in a way that a retry does not change, and nil otherwise. It sends nothing:
// a readiness check may call it at any time.
func (t *Tier) Fault() error {
	return t.server.latest()
}
