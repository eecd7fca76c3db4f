package dynamoindex_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/servertest"
)

func TestMain(m *testing.M) {
	// A server's connection that was closed waits half a second for its client.
	goleak.VerifyTestMain(servertest.Main(m), goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// onEach runs a test against both servers.
func onEach(t *testing.T, test func(t *testing.T, endpoint string)) {
	for name, start := range map[string]func(testing.TB) string{
		"DynamoDBLocal": servertest.SharedDynamoDBLocal,
		"dynalite":      servertest.SharedDynalite,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

func configFor(endpoint string) aws.Config {
	return aws.Config{
		Region:       servertest.Region,
		BaseEndpoint: &endpoint,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: servertest.AccessKey, SecretAccessKey: servertest.SecretKey}, nil
		}),
	}
}

var tables atomic.Int64

// newTable returns a name that no other test of this process uses.
func newTable() string { return "table-" + strconv.FormatInt(tables.Add(1), 10) }

// patient are options that only give up on a busy machine when all is lost.
func patient() *dynamoindex.Options {
	return &dynamoindex.Options{AttemptTimeout: 20 * time.Second, Timeout: time.Minute}
}

// openIndex returns the index of a table that may not exist.
func openIndex(t testing.TB, endpoint, table string, opts *dynamoindex.Options) *dynamoindex.Index {
	t.Helper()
	if opts == nil {
		opts = patient()
	}
	return openWith(t, configFor(endpoint), table, opts)
}

func openWith(t testing.TB, cfg aws.Config, table string, opts *dynamoindex.Options) *dynamoindex.Index {
	t.Helper()
	x, err := dynamoindex.New(cfg, table, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Close() })
	return x
}

// created makes the index's table.
func created(t testing.TB, x *dynamoindex.Index) *dynamoindex.Index {
	t.Helper()
	if err := x.CreateTable(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return x
}

// marker is the item in which a table of an earlier version says how many
// partitions it has.
func marker(n int64) item {
	return item{"hour": text("#partitions"), "ts": number(0), "n": number(n), "was": number(1), "from": number(1)}
}

// fresh returns an index with a new table, and its name.
func fresh(t testing.TB, endpoint string, opts *dynamoindex.Options) (*dynamoindex.Index, string) {
	t.Helper()
	table := newTable()
	created(t, openIndex(t, endpoint, table, nil))
	return openIndex(t, endpoint, table, opts), table
}

// faulty returns an index with a new table, and what breaks its requests. The
// index has made its first request already.
func faulty(t testing.TB, endpoint string, opts *dynamoindex.Options) (*dynamoindex.Index, *faulttest.Transport, string) {
	t.Helper()
	cfg, transport := faultyConfig(t, endpoint)
	table := newTable()
	created(t, openIndex(t, endpoint, table, nil))
	x := openWith(t, cfg, table, opts)
	for _, err := x.Rows(t.Context()); err != nil; _, err = x.Rows(t.Context()) {
		if !errors.Is(err, context.DeadlineExceeded) { // of tests with short ones
			t.Fatal(err)
		}
	}
	return x, transport, table
}

func faultyConfig(t testing.TB, endpoint string) (aws.Config, *faulttest.Transport) {
	transport := faulttest.NewTransport(&http.Transport{MaxIdleConnsPerHost: 64}, 1)
	t.Cleanup(transport.CloseIdleConnections)
	cfg := configFor(endpoint)
	cfg.HTTPClient = &http.Client{Transport: transport}
	return cfg, transport
}

// operation chooses the requests of one operation.
func operation(name string) func(faulttest.Call) bool {
	return func(c faulttest.Call) bool { return isOperation(c.Request, name) }
}

func isOperation(r *http.Request, name string) bool {
	return strings.HasSuffix(r.Header.Get("X-Amz-Target"), "."+name)
}

// plain returns a client that knows nothing of this package.
func plain(t testing.TB, endpoint string) *dynamodb.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	cfg := configFor(endpoint)
	cfg.HTTPClient = &http.Client{Transport: transport}
	return dynamodb.NewFromConfig(cfg)
}

type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// scopeItem is what Scope's collector writes for an entry.
func scopeItem(row index.Row, e index.Entry) item {
	return item{"hour": text(row.Key()), "ts": number(e.Time), "report": text(e.Key)}
}

// write stores an item as it is.
func write(t testing.TB, endpoint, table string, i item) {
	t.Helper()
	if _, err := plain(t, endpoint).PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: i}); err != nil {
		t.Fatal(err)
	}
}

// writeAll stores items, 25 a request.
func writeAll(t testing.TB, endpoint, table string, items []item) {
	t.Helper()
	client := plain(t, endpoint)
	var group errgroup.Group
	group.SetLimit(4)
	for part := range slices.Chunk(items, 25) {
		group.Go(func() error { return writeBatch(t.Context(), client, table, part) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func writeBatch(ctx context.Context, client *dynamodb.Client, table string, items []item) error {
	requests := map[string][]types.WriteRequest{}
	for _, i := range items {
		requests[table] = append(requests[table], types.WriteRequest{PutRequest: &types.PutRequest{Item: i}})
	}
	out, err := client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: requests})
	if err == nil && len(out.UnprocessedItems) > 0 {
		err = fmt.Errorf("unprocessed: %v", out.UnprocessedItems)
	}
	return err
}

// read returns all items of a table.
func read(t testing.TB, endpoint, table string) []item {
	t.Helper()
	out, err := plain(t, endpoint).Scan(t.Context(), &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	return out.Items
}

var someRow = index.Row{Tenant: "some", Hour: 472222}

// entries returns n entries of a row, a second apart.
func entries(row index.Row, n int) []index.Entry {
	all := make([]index.Entry, n)
	for i := range all {
		t := row.Start() + int64(i)*int64(time.Second)
		all[i] = index.Entry{Time: t, Key: row.BlobKey(t)}
	}
	return all
}

func put(t testing.TB, x *dynamoindex.Index, row index.Row, all ...index.Entry) {
	t.Helper()
	for _, e := range all {
		if err := x.Put(t.Context(), row, e); err != nil {
			t.Fatalf("put of %d: %v", e.Time, err)
		}
	}
}

// expect fails unless the whole row holds want.
func expect(t testing.TB, x *dynamoindex.Index, row index.Row, want []index.Entry) {
	t.Helper()
	got, err := x.Query(t.Context(), row, row.Start(), row.End())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %d entries, want %d or others:\n%.900s\n%.900s", len(got), len(want), fmt.Sprint(got), fmt.Sprint(want))
	}
}
