package programs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/memcache"
	"github.com/timeblob/timeblob/s3blob"
	"github.com/timeblob/timeblob/tiered"
)

// servers are the addresses of the servers that all stacks of a test share.
type servers struct{ dynamoDB, s3, memcached string }

// TestAWS runs programs on two collectors. Each collector has its own clients,
// caches in memory and connections, as two processes have. They share a table, a
// bucket and a memcached.
func TestAWS(t *testing.T) {
	t.Parallel()
	s3, _ := servertest.VersityGW(t)
	cache, _ := servertest.Memcached(t)
	at := servers{servertest.SharedDynamoDBLocal(t), s3.Endpoint, cache}
	seeded(t, count(t, 4), 2, func(t *testing.T, seed int) reopener {
		name := fmt.Sprint("programs-", seed)
		at.create(t, name)
		return func(t rapid.TB, _ int) stack { return at.open(t, name) }
	})
}

// create makes an empty table and an empty bucket.
func (s servers) create(t *testing.T, name string) {
	idx, tier, err := s.clients(name)
	if err == nil {
		err = errors.Join(idx.CreateTable(t.Context(), nil), tier.CreateBucket(t.Context()), idx.Close(), tier.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// open connects to a table, a bucket and memcached.
func (s servers) open(t rapid.TB, name string) stack {
	idx, tier, err := s.clients(name)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := memcache.Open(context.Background(), memcache.List(s.memcached), &memcache.Options{
		TTL: time.Hour, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	closeAll := func() error { return errors.Join(idx.Close(), tier.Close(), cache.Close()) }
	return stack{index: idx, authority: tier, caches: []tiered.Cache{{Name: "memcached", Tier: cache}}, close: closeAll}
}

// clients give up only when all is lost, however busy the machine is.
func (s servers) clients(name string) (*dynamoindex.Index, *s3blob.Tier, error) {
	const attempt, patience = 20 * time.Second, time.Minute
	idx, err := dynamoindex.New(config(s.dynamoDB), name, &dynamoindex.Options{AttemptTimeout: attempt, Timeout: patience})
	if err != nil {
		return nil, nil, err
	}
	tier, err := s3blob.Open(config(s.s3), name, &s3blob.Options{PathStyle: true, AttemptTimeout: attempt, Timeout: patience})
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
