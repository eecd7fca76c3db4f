package main

import (
	"crypto/md5"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/klauspost/compress/gzip"

	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/files"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
)

// raw uses a store as Scope's collectors do: through the SDK, with keys that the test computes.
type raw struct {
	db            *dynamodb.Client
	s3            *s3.Client
	table, bucket string
}

// awsAt returns the SDK's configuration for the server in a location, and the
// name of the table or bucket there.
func awsAt(location string) (cfg aws.Config, name string) {
	at := must1(url.Parse(location))
	secret, _ := at.User.Password()
	return aws.Config{Region: "us-east-1", BaseEndpoint: aws.String("http://" + at.Host),
		Credentials: credentials.NewStaticCredentialsProvider(at.User.Username(), secret, "")}, strings.Trim(at.Path, "/")
}

func openRaw(t *testing.T, index, blobs string) *raw {
	t.Helper()
	forTable, table := awsAt(index)
	forBucket, bucket := awsAt(blobs)
	return &raw{
		db:    dynamodb.NewFromConfig(forTable),
		s3:    s3.NewFromConfig(forBucket, func(o *s3.Options) { o.UsePathStyle = true }),
		table: table, bucket: bucket,
	}
}

// keys returns Scope's keys for a tenant's instant: the item's and the blob's.
func keys(tenant string, ts int64) (item map[string]types.AttributeValue, blob string) {
	hour := fmt.Sprintf("%s-%d", tenant, ts/3_600_000_000_000)
	return map[string]types.AttributeValue{
		"hour": &types.AttributeValueMemberS{Value: hour},
		"ts":   &types.AttributeValueMemberN{Value: strconv.FormatInt(ts, 10)},
	}, fmt.Sprintf("%x/%d", md5.Sum([]byte(hour)), ts)
}

// TestLayoutIsScopes checks that Scope finds what we store, and that we answer exactly what Scope stored.
func TestLayoutIsScopes(t *testing.T) {
	t.Parallel()
	index, blobs := newTable(t, servertest.SharedDynalite), newBucket(t)
	store := create(t, index, blobs)
	scope := openRaw(t, index, blobs)
	path := goldentest.Files(t, "hosts/*/*")[0]
	ts := must1(files.Time(filepath.Base(path)))

	must(t, append([]string{"import", "--tenant", "ours", path}, store...)...)
	item, key := keys("ours", ts)
	got, err := scope.db.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &scope.table, Key: item})
	if err != nil {
		t.Fatal(err)
	}
	if named, ok := got.Item["report"].(*types.AttributeValueMemberS); !ok || named.Value != key {
		t.Errorf("the item's report is %v, want %s", got.Item["report"], key)
	}
	object, err := scope.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &scope.bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	plain := must1(io.ReadAll(must1(gzip.NewReader(object.Body))))
	stored := filepath.Join(t.TempDir(), "1.msgpack")
	if err := os.WriteFile(stored, plain, 0o644); err != nil {
		t.Fatal(err)
	}
	want := []byte(must(t, "inspect", "--json", path))
	goldentest.Equal(t, []byte(must(t, "inspect", "--json", stored)), want, nil)

	scope.put(t, "theirs", ts, must1(os.ReadFile(path)))
	at := strconv.FormatInt(ts+1, 10)
	answer := must(t, append([]string{"query", "--json", "--tenant", "theirs", "--at", at}, store...)...)
	goldentest.Equal(t, []byte(answer), []byte(must(t, "inspect", "--upgrade", "--json", path)), anyID)
}
