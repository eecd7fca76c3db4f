package s3blob

import (
	"bytes"
	"context"
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

// Put stores a blob as a new object. On a key that is taken it changes nothing
// and returns an error that is fs.ErrExist; so it does when its own first
// request was carried out but the answer was lost, and the retry found the key
// taken. With any other error the blob may or may not be stored.
//
// How many Puts are under way at a time is up to the callers.
func (t *Tier) Put(ctx context.Context, key string, blob []byte) error {
	if int64(len(blob)) > t.opts.MaxBlob {
		return fmt.Errorf("s3blob: put %q: a blob of %d bytes: %w", key, len(blob), ErrTooLarge)
	}
	within, cancel := context.WithTimeout(ctx, t.opts.Timeout)
	defer cancel()
	write := t.write
	if t.opts.Unconditional {
		write = t.lookAndWrite
	}
	err := write(within, key, blob)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist), status(err) == http.StatusPreconditionFailed:
		return fmt.Errorf("s3blob: put %q: %w", key, fs.ErrExist)
	}
	return t.failure(ctx, "put", key, err)
}

// write is one call of the SDK, with its retries. It sends its own CRC-32 in a
// header, because what the SDK does over TLS, a checksum behind the body, is
// more than some S3-compatible servers understand.
func (t *Tier) write(ctx context.Context, key string, blob []byte) error {
	input := &s3.PutObjectInput{
		Bucket:        aws.String(t.bucket),
		Key:           aws.String(key),
		Body:          bytes.NewReader(blob),
		ContentLength: aws.Int64(int64(len(blob))),
		ContentType:   aws.String(t.opts.ContentType),
		ChecksumCRC32: aws.String(checksum(blob)),
	}
	if !t.opts.Unconditional {
		input.IfNoneMatch = aws.String("*")
	}
	_, err := t.client.PutObject(ctx, input)
	return err
}

// checksum is the CRC-32 of a blob in S3's notation.
func checksum(blob []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(blob)))
}

// lookAndWrite writes when there is no such object. Of the Puts of one key
// that are under way in this tier, only one gets as far as that.
func (t *Tier) lookAndWrite(ctx context.Context, key string, blob []byte) error {
	if _, taken := t.writing.LoadOrStore(key, true); taken {
		return fs.ErrExist
	}
	defer t.writing.Delete(key)
	_, err := t.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(t.bucket), Key: aws.String(key)})
	switch {
	case err == nil:
		return fs.ErrExist
	case status(err) != http.StatusNotFound:
		return err
	}
	return t.write(ctx, key, blob)
}
