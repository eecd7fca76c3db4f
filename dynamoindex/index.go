package dynamoindex

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"regexp"
	"sync/atomic"
	"time"

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

// levels is what an Index knows of the settings of levels in its table.
type levels struct{ last atomic.Pointer[levelSettings] }

type levelSettings struct {
	state []byte // nil: the table has none
	read  time.Time
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
			if in.ExclusiveStartKey, err = next(in.ExclusiveStartKey, page.LastEvaluatedKey); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// errSamePage ends the reading of pages that would never end.
var errSamePage = errors.New("a page ends where it began, so that no page would be the last")

// next returns the start of the page after one that ended at last.
func next(first, last item) (item, error) {
	if reflect.DeepEqual(first, last) {
		return nil, errSamePage
	}
	return last, nil
}

// names makes a placeholder of each attribute, since some are reserved words.
func names(attributes ...string) map[string]string {
	m := make(map[string]string, len(attributes))
	for _, a := range attributes {
		m["#"+a] = a
	}
	return m
}
