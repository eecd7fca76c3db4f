package programs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/memcache"
	"github.com/timeblob/timeblob/s3blob"
	"github.com/timeblob/timeblob/tiered"
)

// place says where a program's stores are.
type place struct {
	DynamoDB, S3, Memcached string // addresses of the servers
	Name                    string // of the table and the bucket
	Mode                    mode
	Now                     int64 // the clock's time when a worker starts
}

// TestAWS runs programs on two collectors, each in a process of its own. They
// share a table, a bucket and a memcached.
func TestAWS(t *testing.T) {
	t.Parallel()
	at := servers(t)
	seeded(t, count(t, 4), func(t *testing.T, seed int) {
		own := at
		own.Name, own.Mode = fmt.Sprint("programs-", seed), mode{Off: seed%4 == 3}
		own.create(t)
		runProgram(t, apart(t, own), programs.Example(seed))
	})
}

// servers starts the servers of a test.
func servers(t *testing.T) place {
	s3, _ := servertest.VersityGW(t)
	cache, _ := servertest.Memcached(t)
	return place{DynamoDB: servertest.SharedDynamoDBLocal(t), S3: s3.Endpoint, Memcached: cache}
}

// create makes an empty table and an empty bucket.
func (p place) create(t *testing.T) {
	idx, tier, err := p.clients()
	if err == nil {
		err = errors.Join(idx.CreateTable(t.Context(), nil), tier.CreateBucket(t.Context()), idx.Close(), tier.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// stack connects to the table, the bucket and memcached.
func (p place) stack() (stack, error) {
	idx, tier, err := p.clients()
	if err != nil {
		return stack{}, err
	}
	cache, err := memcache.Open(context.Background(), memcache.List(p.Memcached), &memcache.Options{
		TTL: time.Hour, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return stack{}, err
	}
	closeAll := func() error { return errors.Join(idx.Close(), tier.Close(), cache.Close()) }
	return stack{index: idx, authority: tier, caches: []tiered.Cache{{Name: "memcached", Tier: cache}}, close: closeAll}, nil
}

// clients give up only when all is lost, however busy the machine is.
func (p place) clients() (*dynamoindex.Index, *s3blob.Tier, error) {
	const attempt, patience = 20 * time.Second, time.Minute
	idx, err := dynamoindex.New(config(p.DynamoDB), p.Name, &dynamoindex.Options{AttemptTimeout: attempt, Timeout: patience})
	if err != nil {
		return nil, nil, err
	}
	tier, err := s3blob.Open(config(p.S3), p.Name, &s3blob.Options{PathStyle: true, AttemptTimeout: attempt, Timeout: patience})
	return idx, tier, err
}

func config(endpoint string) aws.Config {
	return aws.Config{
		Region: servertest.Region, BaseEndpoint: &endpoint,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: servertest.AccessKey, SecretAccessKey: servertest.SecretKey}, nil
		}),
	}
}
