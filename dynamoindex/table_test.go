package dynamoindex_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/internal/servertest"
)

// describe returns a table that exists.
func describe(t *testing.T, endpoint, table string) *types.TableDescription {
	t.Helper()
	out, err := plain(t, endpoint).DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		t.Fatal(err)
	}
	return out.Table
}

func TestCreateTable(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		for name, c := range map[string]struct {
			opts        *dynamoindex.TableOptions
			mode        types.BillingMode
			read, write int64
		}{
			"on demand":   {nil, types.BillingModePayPerRequest, 0, 0},
			"as Scope's":  {&dynamoindex.TableOptions{Provisioned: true}, types.BillingModeProvisioned, 10, 5},
			"provisioned": {&dynamoindex.TableOptions{Provisioned: true, Read: 3, Write: 7}, types.BillingModeProvisioned, 3, 7},
		} {
			table := newTable()
			x := openIndex(t, endpoint, table, nil)
			if err := x.CreateTable(t.Context(), c.opts); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			is := describe(t, endpoint, table)
			if is.TableStatus != types.TableStatusActive {
				t.Errorf("%s: the table is %s", name, is.TableStatus)
			}
			// The servers leave the mode of provisioned tables out.
			if onDemand := is.BillingModeSummary != nil && is.BillingModeSummary.BillingMode == types.BillingModePayPerRequest; onDemand != (c.mode == types.BillingModePayPerRequest) {
				t.Errorf("%s: billing mode %+v, want %s", name, is.BillingModeSummary, c.mode)
			}
			if r, w := *is.ProvisionedThroughput.ReadCapacityUnits, *is.ProvisionedThroughput.WriteCapacityUnits; r != c.read || w != c.write {
				t.Errorf("%s: %d read and %d write units, want %d and %d", name, r, w, c.read, c.write)
			}
			if err := x.CreateTable(t.Context(), nil); err != nil {
				t.Errorf("%s: once more: %v", name, err)
			}
			put(t, x, someRow, entries(someRow, 1)...)
		}
	})
}

func TestCreateTableRefuses(t *testing.T) {
	t.Parallel()
	x := openIndex(t, "http://127.0.0.1:1", "table", nil)
	for _, opts := range []dynamoindex.TableOptions{{Read: 5}, {Write: 5}, {Provisioned: true, Read: -1}} {
		if err := x.CreateTable(t.Context(), &opts); err == nil || !strings.Contains(err.Error(), "units") {
			t.Errorf("%+v: got error %v", opts, err)
		}
	}
}

func TestManyCreateOneTable(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		table := newTable()
		var done sync.WaitGroup
		for range 6 {
			x := openIndex(t, endpoint, table, nil)
			done.Go(func() {
				if err := x.CreateTable(t.Context(), nil); err != nil {
					t.Error(err)
					return
				}
				if _, err := x.Query(t.Context(), someRow, 0, someRow.End()); err != nil {
					t.Errorf("the table is not ready: %v", err)
				}
			})
		}
		done.Wait()
	})
}

// rawTable creates a table that this package would not.
func rawTable(t *testing.T, endpoint string, hash, sort types.AttributeDefinition) (table string) {
	t.Helper()
	table = newTable()
	_, err := plain(t, endpoint).CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName:            &table,
		AttributeDefinitions: []types.AttributeDefinition{hash, sort},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: hash.AttributeName, KeyType: types.KeyTypeHash},
			{AttributeName: sort.AttributeName, KeyType: types.KeyTypeRange},
		},
		BillingMode: types.BillingModePayPerRequest,
	})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func attribute(name string, kind types.ScalarAttributeType) types.AttributeDefinition {
	return types.AttributeDefinition{AttributeName: &name, AttributeType: kind}
}

func TestTablesThatExist(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		for want, c := range map[string][2]types.AttributeDefinition{
			"":                                   {attribute("hour", "S"), attribute("ts", "N")},
			"key hour (S, HASH), ts (S, RANGE),": {attribute("hour", "S"), attribute("ts", "S")},
			"key hour (N, HASH), ts (N, RANGE),": {attribute("hour", "N"), attribute("ts", "N")},
			"key ts (S, HASH), hour (N, RANGE),": {attribute("ts", "S"), attribute("hour", "N")},
			"key id (S, HASH), at (N, RANGE),":   {attribute("id", "S"), attribute("at", "N")},
		} {
			table := rawTable(t, endpoint, c[0], c[1])
			err := openIndex(t, endpoint, table, nil).CreateTable(t.Context(), nil)
			if want == "" && err != nil {
				t.Errorf("Scope's table: %v", err)
			}
			if want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), table)) {
				t.Errorf("got error %v, want one with %q and the table's name", err, want)
			}
		}
	})
}

func TestTableIsBeingDeleted(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		x, table := fresh(t, endpoint, nil)
		put(t, x, someRow, entries(someRow, 1)...)
		if _, err := plain(t, endpoint).DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: &table}); err != nil {
			t.Fatal(err)
		}
		created(t, x)
		expect(t, x, someRow, nil)
	})
}

// TestTableStaysAway holds the wait for a table to its context.
func TestTableStaysAway(t *testing.T) {
	t.Parallel()
	for status, c := range map[string]struct {
		patience time.Duration
		want     string
	}{
		"CREATING": {300 * time.Millisecond, "context deadline exceeded"},
		"ARCHIVED": {time.Minute, "it exists and is ARCHIVED"},
	} {
		cfg, transport := faultyConfig(t, servertest.SharedDynalite(t))
		x := openWith(t, cfg, newTable(), patient())
		transport.Inject(faulttest.Fault{Match: operation("DescribeTable"), Status: http.StatusOK,
			Body: `{"Table":{"TableStatus":"` + status + `"}}`})
		ctx, cancel := context.WithTimeout(t.Context(), c.patience)
		defer cancel()
		err := x.CreateTable(ctx, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", status, err, c.want)
		}
		if timedOut := errors.Is(err, context.DeadlineExceeded); timedOut != (status == "CREATING") {
			t.Errorf("%s: got error %v", status, err)
		}
	}
}

func keeping(retention time.Duration) *dynamoindex.Options {
	opts := patient()
	opts.Retention = retention
	return opts
}

// TestTTL needs DynamoDB Local: dynalite knows no TTL.
func TestTTL(t *testing.T) {
	t.Parallel()
	endpoint := servertest.SharedDynamoDBLocal(t)
	table := newTable()
	created(t, openIndex(t, endpoint, table, nil))
	if is := ttl(t, endpoint, table); is.TimeToLiveStatus != types.TimeToLiveStatusDisabled {
		t.Errorf("without a retention: %+v", is)
	}
	var done sync.WaitGroup
	for range 4 { // one of them turns it on
		x := openIndex(t, endpoint, table, keeping(time.Hour))
		done.Go(func() {
			if err := x.CreateTable(t.Context(), nil); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	if is := ttl(t, endpoint, table); is.TimeToLiveStatus != types.TimeToLiveStatusEnabled || *is.AttributeName != "expires" {
		t.Errorf("with a retention: %+v", is)
	}
}

func TestTTLOfAnotherAttribute(t *testing.T) {
	t.Parallel()
	endpoint := servertest.SharedDynamoDBLocal(t)
	table := newTable()
	created(t, openIndex(t, endpoint, table, nil))
	_, err := plain(t, endpoint).UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{TableName: &table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("other"), Enabled: aws.Bool(true)}})
	if err != nil {
		t.Fatal(err)
	}
	err = openIndex(t, endpoint, table, keeping(time.Hour)).CreateTable(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), `TTL attribute is "other"`) {
		t.Errorf("got error %v, want one with the other attribute", err)
	}
}

// TestTTLCannotBeTurnedOn checks that what the server says is the error.
func TestTTLCannotBeTurnedOn(t *testing.T) {
	t.Parallel()
	x := openIndex(t, servertest.SharedDynalite(t), newTable(), keeping(time.Hour))
	if err := x.CreateTable(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "UpdateTimeToLive") {
		t.Errorf("got error %v, want that of the operation", err)
	}
}

func ttl(t *testing.T, endpoint, table string) *types.TimeToLiveDescription {
	t.Helper()
	out, err := plain(t, endpoint).DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &table})
	if err != nil {
		t.Fatal(err)
	}
	return out.TimeToLiveDescription
}
