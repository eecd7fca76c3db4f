package dynamoindex

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/index"
)

// settled is how long after an entry was put an eventually consistent read may
// miss it, clocks that disagree included. DynamoDB says "usually within one
// second".
const settled = 5 * time.Second

// What the requests ask for.
const (
	keyCondition = "#hour = :hour AND #ts BETWEEN :first AND :last"
	isLive       = "attribute_not_exists(#expires) OR NOT #expires <= :now"
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
	spread  spread
	idle    func() // closes idle connections
}

var _ index.Index = (*Index)(nil)

// New returns the index in the named table of the region, endpoint and account
// that cfg says. A table's name has 3 to 255 letters, digits, "_", "." and "-".
// It asks nothing of the server yet: CreateTable does. Of cfg
// the retry settings are not used, since Options has them, and an HTTP client
// of the SDK's own kind (awshttp.BuildableClient, or none) is replaced by one
// like it that keeps more idle connections; any other is used as it is.
func New(cfg aws.Config, table string, opts *Options) (*Index, error) {
	x, err := open(cfg, table, opts)
	if err != nil {
		return nil, fmt.Errorf("dynamoindex: %w", err)
	}
	return x, nil
}

func open(cfg aws.Config, table string, opts *Options) (*Index, error) {
	if !tableName.MatchString(table) {
		return nil, fmt.Errorf("table %.80q: a name has 3 to 255 of A-Z a-z 0-9 _ . -", table)
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
	x.db, x.idle = newClient(cfg, table, &x.opts, m)
	return x, nil
}

// Close closes idle connections, unless they belong to an HTTP client that the
// caller brought. It is called when no request is under way any more.
func (x *Index) Close() error {
	x.idle()
	return nil
}

// Put implements index.Index. It costs one write unit, and when the instant
// is taken a read unit more, apart from what Query says of the marker.
func (x *Index) Put(ctx context.Context, row index.Row, e index.Entry) error {
	if err := check(row, e); err != nil {
		return err
	}
	m, err := x.known(ctx, x.opts.Partitions)
	if err != nil {
		return err
	}
	mine, err := x.opts.itemOf(row, e, m.at(x.opts.Now()))
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
// put by an attempt whose answer was lost, and else ErrExists. There is empty
// when the server sent no item along with its refusal; those older than 2023
// never do.
func (x *Index) taken(ctx context.Context, mine, there item) error {
	if len(there) == 0 {
		var err error
		if there, err = x.find(ctx, mine); err != nil {
			return err
		}
	}
	if samePut(mine, there) {
		return nil
	}
	return index.ErrExists
}

// find returns by whom the item was put that has the key of like.
func (x *Index) find(ctx context.Context, like item) (item, error) {
	found, err := x.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:                &x.table,
		Key:                      keyOf(like),
		ConsistentRead:           aws.Bool(true),
		ProjectionExpression:     aws.String("#put"),
		ExpressionAttributeNames: names(attrPut),
		ReturnConsumedCapacity:   types.ReturnConsumedCapacityTotal,
	})
	if err != nil {
		return nil, err
	}
	return found.Item, nil
}

// Query implements index.Index. It costs a request for each MB of the entries
// in the range, at least one for each partition, and a read unit for each 4 kB.
// Once a minute the first Query, Put or Rows reads the table's marker before,
// which costs a request and a read unit more; that its read failed is the error
// of those calls that waited for it.
// An item that is not an entry is an error that names it.
func (x *Index) Query(ctx context.Context, row index.Row, from, to int64) ([]index.Entry, error) {
	if err := errors.Join(ctx.Err(), checkTenant(row.Tenant)); err != nil {
		return nil, err
	}
	from, to = max(from, row.Start()), min(to, row.End()) // other hours may have the row's key, too
	if from >= to {
		return nil, nil
	}
	n, err := x.most(ctx)
	if err != nil {
		return nil, err
	}
	if n == 1 {
		return x.partition(ctx, partitionKey(row, 0), from, to)
	}
	return x.partitions(ctx, row, n, from, to)
}

// most returns how many partitions a row may have.
func (x *Index) most(ctx context.Context) (int, error) {
	m, err := x.known(ctx, 1)
	return max(x.opts.Partitions, m.n), err
}

// partitions asks all n partitions of a row at once.
func (x *Index) partitions(ctx context.Context, row index.Row, n int, from, to int64) ([]index.Entry, error) {
	found := make([][]index.Entry, n)
	group, ctx := errgroup.WithContext(ctx)
	for p := range found {
		group.Go(func() (err error) {
			found[p], err = x.partition(ctx, partitionKey(row, p), from, to)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return merge(found), nil
}

// merge returns the entries of all partitions in order. Entries that are equal
// become one: they name the same blob.
func merge(partitions [][]index.Entry) []index.Entry {
	all := slices.Concat(partitions...)
	slices.SortFunc(all, func(a, b index.Entry) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(a.Key, b.Key))
	})
	return slices.Compact(all)
}

// partition returns the entries of one partition key, all pages of them.
func (x *Index) partition(ctx context.Context, key string, from, to int64) (found []index.Entry, err error) {
	for in := x.queryOf(key, from, to); ; {
		page, err := x.db.Query(ctx, in)
		if err != nil {
			return nil, err
		}
		if found, err = x.appendEntries(found, key, page.Items); err != nil {
			return nil, err
		}
		if len(page.LastEvaluatedKey) == 0 {
			return found, nil
		}
		in.ExclusiveStartKey = page.LastEvaluatedKey
	}
}

// queryOf returns the question for the first page of a partition key.
func (x *Index) queryOf(key string, from, to int64) *dynamodb.QueryInput {
	now := x.opts.Now()
	return &dynamodb.QueryInput{
		TableName:                &x.table,
		KeyConditionExpression:   aws.String(keyCondition),
		FilterExpression:         aws.String(isLive),
		ProjectionExpression:     aws.String("#ts, #report"),
		ExpressionAttributeNames: names(attrHour, attrTime, attrReport, attrExpires),
		ExpressionAttributeValues: item{
			":hour": text(key), ":first": number(from), ":last": number(to - 1), ":now": number(now.Unix()),
		},
		ConsistentRead:         aws.Bool(x.consistent(to, now)),
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

// consistent tells whether a read that ends before the instant to may have to
// find an entry that was put just now.
func (x *Index) consistent(to int64, now time.Time) bool {
	return x.opts.Lateness == 0 || to > now.Add(-x.opts.Lateness-settled).UnixNano()
}

// names makes a placeholder of each attribute, since some are reserved words.
func names(attributes ...string) map[string]string {
	m := make(map[string]string, len(attributes))
	for _, a := range attributes {
		m["#"+a] = a
	}
	return m
}
