package dynamoindex

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/timeblob/timeblob/index"
)

// What the requests ask for.
const (
	keyCondition = "#hour = :hour AND #ts BETWEEN :first AND :last"
	isLiveEntry  = "attribute_exists(#report) AND (attribute_not_exists(#expires) OR NOT #expires <= :now)"
	isFree       = "attribute_not_exists(#ts)"
)

// tableName is DynamoDB's rule for names; ARNs are not supported.
var tableName = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)

// Index is an index in one DynamoDB table. It is safe for any number of
// goroutines and processes. Its errors are the SDK's and name the operation,
// not the table.
type Index struct {
	db      *dynamodb.Client
	table   string
	opts    Options
	metrics *metrics
	whole   atomic.Bool // the table is known not to be spread over partitions
	clock   clock
	levels  levels
	idle    func() // closes idle connections
}

var (
	_ index.Index        = (*Index)(nil)
	_ index.Deleter      = (*Index)(nil)
	_ index.TenantLister = (*Index)(nil)
	_ index.Places       = (*Index)(nil)
)

// New returns the index in the named table; cfg says in which region, endpoint
// and account. A table's name has 3 to 255 letters, digits, "_", "." and "-".
// New sends no request: CreateTable does. The retry settings of cfg are not
// used, since Options has them. An HTTP client of the SDK's own kind
// (awshttp.BuildableClient, or none) is replaced by one like it that keeps more
// idle connections; any other client is used as it is.
func New(cfg aws.Config, table string, opts *Options) (*Index, error) {
	x, err := open(cfg, table, opts)
	if err != nil {
		return nil, fmt.Errorf("dynamoindex: %w", err)
	}
	return x, nil
}

func open(cfg aws.Config, table string, opts *Options) (*Index, error) {
	if !tableName.MatchString(table) {
		return nil, fmt.Errorf("table %.80q: the name must have 3 to 255 characters: letters, digits, hyphens, underscores and dots", table)
	}
	full, err := opts.filled()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(full.Registerer, full.Namespace)
	if err != nil {
		return nil, err
	}
	x := &Index{table: table, opts: full, metrics: m}
	x.db, x.idle = newClient(cfg, table, &x.opts, m, &x.clock)
	return x, nil
}

// Close closes idle connections, unless they belong to an HTTP client that the
// caller gave to New. Call it when no request is under way any more.
func (x *Index) Close() error {
	x.idle()
	return nil
}

// Put implements index.Index. It costs one write unit, and a read unit more
// when the instant is taken. The first request of an Index reads one unit more,
// to see that the table is not spread over partitions. Puts that do not come from
// package bucket read one unit more a minute, to see whether the table has levels.
func (x *Index) Put(ctx context.Context, row index.Row, e index.Entry) error {
	if err := check(row, e); err != nil {
		return err
	}
	if err := x.checkWhole(ctx); err != nil {
		return err
	}
	if err := x.mayPut(ctx, e.Time); err != nil {
		return err
	}
	mine, err := x.opts.itemOf(row, e)
	if err != nil {
		return err
	}
	_, err = x.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                           &x.table,
		Item:                                mine,
		ConditionExpression:                 aws.String(isFree),
		ExpressionAttributeNames:            names(attrTime),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		ReturnConsumedCapacity:              types.ReturnConsumedCapacityTotal,
	})
	if taken, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		err = x.taken(ctx, mine, taken.Item)
	}
	if err == nil {
		x.metrics.size.WithLabelValues("PutItem").Add(float64(len(e.Key)))
	}
	return err
}

// taken returns nil when the item that holds the instant is mine after all,
// put by an attempt whose answer was lost, and ErrExists otherwise. The item
// there is empty when the server sent none with its refusal, as servers older
// than 2023 do.
func (x *Index) taken(ctx context.Context, mine, there item) error {
	if len(there) == 0 {
		var err error
		if there, err = x.find(ctx, mine, attrPut); err != nil {
			return err
		}
	}
	if samePut(mine, there) {
		return nil
	}
	return index.ErrExists
}

// find returns one attribute of the item that has the key of like.
func (x *Index) find(ctx context.Context, like item, attribute string) (item, error) {
	found, err := x.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:                &x.table,
		Key:                      keyOf(like),
		ConsistentRead:           aws.Bool(true),
		ProjectionExpression:     aws.String("#" + attribute),
		ExpressionAttributeNames: names(attribute),
		ReturnConsumedCapacity:   types.ReturnConsumedCapacityTotal,
	})
	if err != nil {
		return nil, err
	}
	return found.Item, nil
}

// Query implements index.Index. It costs a request for each MB of the entries
// in the range, at least one, and a read unit for each 4 kB. An item that has
// the attribute report and is not an entry is an error that names it.
func (x *Index) Query(ctx context.Context, row index.Row, from, to int64) ([]index.Entry, error) {
	if err := errors.Join(ctx.Err(), checkTenant(row.Tenant)); err != nil {
		return nil, err
	}
	from, to = max(from, row.Start()), min(to, row.End()) // another tenant's hour may have the same row key
	if from >= to {
		return nil, nil
	}
	if err := x.checkWhole(ctx); err != nil {
		return nil, err
	}
	var found []index.Entry
	key := row.Key()
	for page, err := range x.pages(ctx, x.queryOf(key, from, to)) {
		if err != nil {
			return nil, err
		}
		if found, err = x.appendEntries(found, key, page); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// pages yields the items of a query, page by page, or an error and nothing
// after it.
func (x *Index) pages(ctx context.Context, in *dynamodb.QueryInput) iter.Seq2[[]item, error] {
	return func(yield func([]item, error) bool) {
		for {
			page, err := x.db.Query(ctx, in)
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(page.Items, nil) || len(page.LastEvaluatedKey) == 0 {
				return
			}
			in.ExclusiveStartKey = page.LastEvaluatedKey
		}
	}
}

// queryOf returns the question for the first page of a row's entries.
func (x *Index) queryOf(key string, from, to int64) *dynamodb.QueryInput {
	return &dynamodb.QueryInput{
		TableName:                &x.table,
		KeyConditionExpression:   aws.String(keyCondition),
		FilterExpression:         aws.String(isLiveEntry),
		ProjectionExpression:     aws.String("#ts, #report, #size, #sum"),
		ExpressionAttributeNames: names(attrHour, attrTime, attrReport, attrSize, attrSum, attrExpires),
		ExpressionAttributeValues: item{
			":hour": text(key), ":first": number(from), ":last": number(to - 1), ":now": number(x.opts.Now().Unix()),
		},
		ConsistentRead:         aws.Bool(true),
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	}
}

func (x *Index) appendEntries(found []index.Entry, key string, items []item) ([]index.Entry, error) {
	found = slices.Grow(found, len(items))
	size := 0
	for _, i := range items {
		e, err := entryOf(key, i)
		if err != nil {
			return nil, err
		}
		size += len(e.Key)
		found = append(found, e)
	}
	x.metrics.size.WithLabelValues("Query").Add(float64(size))
	return found, nil
}

// names makes a placeholder of each attribute, since some are reserved words.
func names(attributes ...string) map[string]string {
	m := make(map[string]string, len(attributes))
	for _, a := range attributes {
		m["#"+a] = a
	}
	return m
}
