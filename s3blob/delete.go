package s3blob

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// maxDelete is the most keys that S3 deletes in one request.
const maxDelete = 1000

// Delete removes the objects of keys, a thousand in one request, one request
// after the other. A key with no object is no error. When it returns an error
// some objects may be gone; the same call may be made again. In a bucket with
// versions the old versions stay until its lifecycle rules remove them.
func (t *Tier) Delete(ctx context.Context, keys []string) error {
	for part := range slices.Chunk(keys, maxDelete) {
		if err := t.deleteSome(ctx, part); err != nil {
			return t.failure(ctx, err)
		}
	}
	return ctx.Err()
}

func (t *Tier) deleteSome(ctx context.Context, keys []string) error {
	ctx, cancel := context.WithTimeout(ctx, t.opts.Timeout)
	defer cancel()
	objects := make([]types.ObjectIdentifier, len(keys))
	for i, key := range keys {
		objects[i].Key = aws.String(key)
	}
	out, err := t.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
		Bucket: aws.String(t.bucket),
		Delete: &types.Delete{Objects: objects, Quiet: aws.Bool(true)},
	}, answersWith("DeleteResult"))
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range out.Errors[:min(len(out.Errors), maxNamed)] {
		errs = append(errs, fmt.Errorf("key %q: %s: %s", aws.ToString(e.Key), aws.ToString(e.Code), aws.ToString(e.Message)))
	}
	return errors.Join(errs...)
}

// maxNamed is how many keys an error of Delete names.
const maxNamed = 5
