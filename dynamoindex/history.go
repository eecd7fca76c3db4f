package dynamoindex

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/timeblob/timeblob/index"
)

// How long Rows waits before it asks a table that throttles it again.
const (
	minThrottled = 100 * time.Millisecond
	maxThrottled = 10 * time.Second
)

// maxAsked is how many hours Entries asks for one by one, a leap year, before
// it looks through the whole table for those that exist.
const maxAsked = 366 * 24

// Rows returns every row that has entries, ordered by tenant and hour. It
// reads the whole table, a MB at a time and one after the other, at a read unit
// for each 4 kB, some 35 entries: a tenant's year at an entry every 3 s is
// about 1.2 GB and 300 000 units. A table that throttles it is asked again
// until ctx ends: one with few provisioned units pays for a page over many
// seconds. It is an error when a row is spread over more
// partitions than the table's marker and Options.Partitions say.
func (x *Index) Rows(ctx context.Context) ([]index.Row, error) {
	found := make(map[index.Row]struct{})
	for in := x.scan(); ; {
		page, err := x.page(ctx, in)
		if err != nil {
			return nil, err
		}
		n, err := x.most(ctx) // asked after the page, whose entries it covers
		if err != nil {
			return nil, err
		}
		if err := collectRows(found, page.Items, n); err != nil {
			return nil, err
		}
		if len(page.LastEvaluatedKey) == 0 {
			return slices.SortedFunc(maps.Keys(found), compareRows), nil
		}
		in.ExclusiveStartKey = page.LastEvaluatedKey
	}
}

// page returns a page of the table, however long that throttles.
func (x *Index) page(ctx context.Context, in *dynamodb.ScanInput) (*dynamodb.ScanOutput, error) {
	for wait := minThrottled; ; wait = min(2*wait, maxThrottled) {
		page, err := x.db.Scan(ctx, in)
		if !throttled(err) {
			return page, err
		}
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// scan returns the question for the first page of the table.
func (x *Index) scan() *dynamodb.ScanInput {
	return &dynamodb.ScanInput{
		TableName:                 &x.table,
		FilterExpression:          aws.String(isLive),
		ProjectionExpression:      aws.String("#hour, #ts"),
		ExpressionAttributeNames:  names(attrHour, attrTime, attrExpires),
		ExpressionAttributeValues: item{":now": number(x.opts.Now().Unix())},
		ConsistentRead:            aws.Bool(true),
		ReturnConsumedCapacity:    types.ReturnConsumedCapacityTotal,
	}
}

// collectRows notes the rows of items, which have n partitions at most.
func collectRows(found map[index.Row]struct{}, items []item, n int) error {
	for _, i := range items {
		if isMarker(i) {
			continue
		}
		row, partition, err := rowOf(i)
		if err != nil {
			return err
		}
		if partition >= n {
			return fmt.Errorf("row %q has a partition %d: open the index with more than %d partitions",
				row.Key(), partition, n)
		}
		found[row] = struct{}{}
	}
	return nil
}

func compareRows(a, b index.Row) int {
	return cmp.Or(strings.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Hour, b.Hour))
}

// Tenants returns the tenants that have entries, sorted. It costs what Rows
// costs.
func (x *Index) Tenants(ctx context.Context) ([]string, error) {
	rows, err := x.Rows(ctx)
	if err != nil {
		return nil, err
	}
	var tenants []string
	for _, row := range rows {
		tenants = append(tenants, row.Tenant)
	}
	return slices.Compact(tenants), nil
}

// Entries returns the tenant's entries with from ≤ Time < to in ascending
// order. It yields one error at most, and nothing after it. What is put
// meanwhile may or may not be seen. It costs a query for each hour of a range
// of up to a year; of a longer one it costs what Rows costs, and a query for
// each row of the tenant. It holds one row in memory.
func (x *Index) Entries(ctx context.Context, tenant string, from, to int64) iter.Seq2[index.Entry, error] {
	return func(yield func(index.Entry, error) bool) {
		rows, err := x.rowsIn(ctx, tenant, from, to)
		if err != nil {
			yield(index.Entry{}, err)
			return
		}
		for row := range rows {
			entries, err := x.Query(ctx, row, from, to)
			if err != nil {
				yield(index.Entry{}, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// rowsIn returns the rows that may hold the tenant's entries in [from, to).
func (x *Index) rowsIn(ctx context.Context, tenant string, from, to int64) (iter.Seq[index.Row], error) {
	if to <= from || index.RowAt(tenant, to-1).Hour-index.RowAt(tenant, from).Hour < maxAsked {
		return index.Rows(tenant, from, to), nil
	}
	rows, err := x.Rows(ctx)
	if err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(r index.Row) bool {
		return r.Tenant != tenant || r.End() <= from || r.Start() >= to
	})
	return slices.Values(rows), nil
}
