package s3blob

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"
)

// Get returns the blob of each key, by index, with one GET for each different
// key and Options.Parallel GETs at a time over all callers. The blob of a key
// without an object is nil. The first error ends the reading of the other
// keys; Get then returns the blobs that it has. With several keys, the error names
// the key that failed. The blobs are the caller's.
func (t *Tier) Get(ctx context.Context, keys []string) ([][]byte, error) {
	found, first := make([][]byte, len(keys)), make(map[string]int, len(keys))
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(t.opts.Parallel)
	for i, key := range keys {
		if _, repeated := first[key]; repeated {
			continue
		}
		first[key] = i
		g.Go(func() error {
			blob, err := t.object(within, key)
			switch {
			case errors.Is(err, errAbsent):
				return nil
			case err != nil && len(keys) > 1:
				return fmt.Errorf("key %q: %w", key, t.failure(ctx, err))
			case err != nil:
				return t.failure(ctx, err)
			}
			found[i] = blob
			return nil
		})
	}
	err := g.Wait()
	for i, key := range keys {
		found[i] = found[first[key]]
	}
	return found, err
}

// object reads one object, as soon as fewer than Parallel are being read. The error is errAbsent when the key has no object.
func (t *Tier) object(ctx context.Context, key string) ([]byte, error) {
	if err := t.reading.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer t.reading.Release(1)
	ctx, cancel := context.WithTimeout(ctx, t.opts.Timeout)
	defer cancel()
	return t.fetch(ctx, key)
}

// errAbsent says that there is no object of a key.
var errAbsent = errors.New("no such key")

// fetch is one call of the SDK, with its retries. The attempt middleware has
// read the body.
func (t *Tier) fetch(ctx context.Context, key string) ([]byte, error) {
	input := &s3.GetObjectInput{Bucket: aws.String(t.bucket), Key: aws.String(key)}
	output, err := t.client.GetObject(ctx, input)
	if code, ok := errors.AsType[smithy.APIError](err); ok && code.ErrorCode() == "NoSuchKey" {
		return nil, errAbsent
	}
	if err != nil {
		return nil, err
	}
	whole, ok := output.Body.(*wholeBody)
	if !ok {
		return nil, fmt.Errorf("the body is a %T: something replaced the SDK's middleware", output.Body)
	}
	return whole.blob, nil
}
