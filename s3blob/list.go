package s3blob

import (
	"context"
	"errors"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// List implements tiered.Lister: it yields the keys of the bucket that begin
// with prefix, whatever their instants, with one request for each thousand.
func (t *Tier) List(ctx context.Context, prefix string, _, _ int64) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		pages := s3.NewListObjectsV2Paginator(t.client, &s3.ListObjectsV2Input{Bucket: aws.String(t.bucket), Prefix: aws.String(prefix)})
		for last := ""; pages.HasMorePages(); {
			page, err := t.nextPage(ctx, pages)
			if err == nil {
				last, err = nextToken(page, last)
			}
			if err != nil {
				yield("", t.failure(ctx, err))
				return
			}
			for _, object := range page.Contents {
				if !yield(aws.ToString(object.Key), nil) {
					return
				}
			}
		}
	}
}

func (t *Tier) nextPage(ctx context.Context, pages *s3.ListObjectsV2Paginator) (*s3.ListObjectsV2Output, error) {
	ctx, cancel := context.WithTimeout(ctx, t.opts.Timeout)
	defer cancel()
	return pages.NextPage(ctx, answersWith("ListBucketResult"))
}

// errPages ends a list that would end too early or never.
var errPages = errors.New("the server does not say how the list goes on")

// nextToken returns the token of the page after one that was asked for by the token last.
func nextToken(page *s3.ListObjectsV2Output, last string) (string, error) {
	token := aws.ToString(page.NextContinuationToken)
	if aws.ToBool(page.IsTruncated) && (token == "" || token == last) {
		return "", errPages
	}
	return token, nil
}
