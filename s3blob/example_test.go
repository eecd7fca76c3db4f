package s3blob_test

import (
	"context"
	"log"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/timeblob/timeblob/s3blob"
)

// A server of one's own that speaks S3's protocol. For Amazon's, leave
// BaseEndpoint and PathStyle out and take the configuration from the SDK's
// config.LoadDefaultConfig.
func ExampleOpen() {
	ctx := context.Background()
	cfg := aws.Config{
		Region:       "us-east-1",
		BaseEndpoint: aws.String("http://127.0.0.1:7070"),
		Credentials:  credentials.NewStaticCredentialsProvider("key", "secret", ""),
	}
	tier, err := s3blob.Open(cfg, "reports", &s3blob.Options{PathStyle: true})
	if err != nil {
		log.Fatal(err)
	}
	defer tier.Close()
	if err := tier.CreateBucket(ctx); err != nil {
		log.Fatal(err)
	}
	// tiered.New(codec, tier, …) makes a store of it.
}
