package s3blob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	homeRegion  = "us-east-1"     // where S3 wants no location constraint
	usableAfter = 2 * time.Minute // at most
)

// CreateBucket creates the tier's bucket in the configuration's region, unless
// it exists, and returns when it can be used, or after two minutes. It may be
// called at any time, by any number of processes at once. A bucket in another
// region, or a bucket of another owner, is an error.
func (t *Tier) CreateBucket(ctx context.Context) error {
	err := t.lookUp(ctx)
	if status(err) == http.StatusNotFound {
		if err = t.create(ctx); err == nil {
			err = t.wait(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("s3blob: create bucket %q: %w", t.bucket, err)
	}
	return nil
}

// lookUp is nil when the bucket exists, is in the region and may be used.
func (t *Tier) lookUp(ctx context.Context) error {
	_, err := t.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(t.bucket)})
	switch region := regionOf(err); {
	case region != "" && region != t.region:
		return fmt.Errorf("it exists in region %s, but the configuration says %s: %w", region, t.region, err)
	case status(err) == http.StatusForbidden:
		return fmt.Errorf("it is somebody else's, or s3:ListBucket is missing: %w", err)
	}
	return err
}

// regionOf is where the bucket is, as far as an error says it.
func regionOf(err error) string {
	if answered, ok := errors.AsType[*awshttp.ResponseError](err); ok && answered.Response != nil {
		return answered.Response.Header.Get("X-Amz-Bucket-Region")
	}
	return ""
}

func (t *Tier) create(ctx context.Context) error {
	input := &s3.CreateBucketInput{Bucket: aws.String(t.bucket)}
	if t.region != homeRegion {
		input.CreateBucketConfiguration = &types.CreateBucketConfiguration{
			LocationConstraint: types.BucketLocationConstraint(t.region),
		}
	}
	_, err := t.client.CreateBucket(ctx, input)
	if status(err) != http.StatusConflict {
		return err
	}
	// Somebody was faster. If it was this account the bucket is there now or will be soon.
	if err := t.lookUp(ctx); status(err) != http.StatusNotFound {
		return err
	}
	return nil
}

func (t *Tier) wait(ctx context.Context) error {
	waiter := s3.NewBucketExistsWaiter(t.client, func(o *s3.BucketExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, 5*time.Second
	})
	return waiter.Wait(ctx, &s3.HeadBucketInput{Bucket: aws.String(t.bucket)}, usableAfter)
}
