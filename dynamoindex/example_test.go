package dynamoindex_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/index"
)

// On AWS, cfg is what config.LoadDefaultConfig of the SDK finds; a server of
// one's own wants a BaseEndpoint as well.
func ExampleNew() {
	ctx := context.Background()
	cfg := aws.Config{
		Region:       "eu-central-1",
		BaseEndpoint: aws.String("http://localhost:8000"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"}, nil
		}),
	}
	idx, err := dynamoindex.New(cfg, "reports", &dynamoindex.Options{
		Retention:  30 * 24 * time.Hour,
		Registerer: prometheus.DefaultRegisterer,
		Namespace:  "scope",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer idx.Close()
	if err := idx.CreateTable(ctx, nil); err != nil {
		log.Fatal(err)
	}
	now := time.Now().UnixNano()
	row := index.RowAt("acme", now)
	if err := idx.Put(ctx, row, index.Entry{Time: now, Key: row.BlobKey(now)}); err != nil {
		log.Fatal(err)
	}
	entries, err := idx.Query(ctx, row, row.Start(), row.End())
	fmt.Println(entries, err)
}
