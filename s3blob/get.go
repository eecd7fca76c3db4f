package s3blob

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"
)

// Get returns the blobs of the keys that the bucket holds, one GET each and
// Options.Parallel at a time over all callers. A key with no object is absent
// from the map. The first error ends the reading of the other keys, and the
// map then holds what was found. The blobs are the caller's.
func (t *Tier) Get(ctx context.Context, keys []string) (map[string][]byte, error) {
	var mu sync.Mutex // guards found
	found := make(map[string][]byte, len(keys))
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(t.opts.Parallel)
	for _, key := range distinct(keys) {
		g.Go(func() error {
			blob, err := t.object(within, key)
			switch {
			case errors.Is(err, errAbsent):
				return nil
			case err != nil:
				return t.failure(ctx, "get", key, err)
			}
			mu.Lock()
			defer mu.Unlock()
			found[key] = blob
			return nil
		})
	}
	err := g.Wait()
	return found, err
}

// distinct returns each key once.
func distinct(keys []string) []string {
	once := make([]string, 0, len(keys))
	seen := make(map[string]bool, len(keys))
	for _, key := range keys {
		if !seen[key] {
			seen[key] = true
			once = append(once, key)
		}
	}
	return once
}

// object reads one object when it has a place among Parallel. When there is
// none of that key the error is errAbsent.
func (t *Tier) object(ctx context.Context, key string) ([]byte, error) {
	if err := t.places.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer t.places.Release(1)
	ctx, cancel := context.WithTimeout(ctx, t.opts.Timeout)
	defer cancel()
	if t.hedges == nil {
		return t.fetch(ctx, key)
	}
	return t.fetchHedged(ctx, key)
}

// errAbsent says that there is no object of a key.
var errAbsent = errors.New("no such key")

// fetch is one call of the SDK, with its retries. The attempt middleware has
// read the body.
func (t *Tier) fetch(ctx context.Context, key string, options ...func(*s3.Options)) ([]byte, error) {
	input := &s3.GetObjectInput{Bucket: aws.String(t.bucket), Key: aws.String(key)}
	output, err := t.client.GetObject(ctx, input, options...)
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
