package dynamoindex

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/pause"
)

// How long scan waits before it asks again a table that throttles it.
const (
	minThrottled = 100 * time.Millisecond
	maxThrottled = 10 * time.Second
)

// maxAsked is how many hours Entries asks for one by one, a leap year. For
// more it reads the whole table to see which rows exist.
const maxAsked = 366 * 24

// Rows returns every row that has entries, ordered by tenant and hour. It
// reads the whole table, one page of 1 MB after the other, at a read unit for
// each 4 kB, some 25 entries: a tenant's year with an entry every 3 s is about
// 1.5 GB and 400 000 units. When the table throttles it, Rows asks again until
// ctx ends: a table with few provisioned units pays for a page over many
// seconds. Any number of processes may call it at once.
func (x *Index) Rows(ctx context.Context) ([]index.Row, error) {
	found := make(map[index.Row]struct{})
	for row, err := range x.scan(ctx) {
		if err != nil {
			return nil, err
		}
		found[row] = struct{}{}
	}
	return slices.SortedFunc(maps.Keys(found), compareRows), nil
}

func compareRows(a, b index.Row) int {
	return cmp.Or(strings.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Hour, b.Hour))
}

// Tenants implements index.TenantLister. It costs what Rows costs, and memory
// for the tenants.
func (x *Index) Tenants(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		seen := make(map[string]struct{})
		for i, err := range x.items(ctx, x.tenantPage()) {
			if err != nil {
				yield("", err)
				return
			}
			tenant, ok := tenantOf(i)
			if _, again := seen[tenant]; again || !ok {
				continue
			}
			seen[tenant] = struct{}{}
			if !yield(tenant, nil) {
				return
			}
		}
	}
}

// tenantOf returns the tenant of an entry's item, or of the item of a place that
// names a blob.
func tenantOf(i item) (tenant string, ok bool) {
	if row, ok := rowOf(i); ok {
		return row.Tenant, true
	}
	hour, _ := i[attrHour].(*types.AttributeValueMemberS)
	if hour == nil {
		return "", false
	}
	level, ok := strings.CutPrefix(hour.Value, levelPrefix)
	if !ok {
		return "", false
	}
	if p, err := placeOf(i); err != nil || p.Blob() == "" {
		return "", false
	}
	_, tenant, ok = strings.Cut(level, "/")
	return tenant, ok
}

// scan yields the row of every entry in the table, or an error and nothing
// after it.
func (x *Index) scan(ctx context.Context) iter.Seq2[index.Row, error] {
	return func(yield func(index.Row, error) bool) {
		for i, err := range x.items(ctx, x.firstPage()) {
			if err != nil {
				yield(index.Row{}, err)
				return
			}
			if row, ok := rowOf(i); ok && !yield(row, nil) {
				return
			}
		}
	}
}

// items yields the table's items from a first page on, or an error and nothing
// after it.
func (x *Index) items(ctx context.Context, in *dynamodb.ScanInput) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		if err := x.checkWhole(ctx); err != nil {
			yield(nil, err)
			return
		}
		for {
			page, err := x.page(ctx, in)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, i := range page.Items {
				if !yield(i, nil) {
					return
				}
			}
			if len(page.LastEvaluatedKey) == 0 {
				return
			}
			if in.ExclusiveStartKey, err = next(in.ExclusiveStartKey, page.LastEvaluatedKey); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// page returns a page of the table. It waits as long as the table throttles it.
func (x *Index) page(ctx context.Context, in *dynamodb.ScanInput) (*dynamodb.ScanOutput, error) {
	for wait := minThrottled; ; wait = min(2*wait, maxThrottled) {
		page, err := x.db.Scan(ctx, in)
		if !throttled(err) {
			return page, err
		}
		if err := pause.For(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// firstPage returns the question for the first page of the table.
func (x *Index) firstPage() *dynamodb.ScanInput {
	return &dynamodb.ScanInput{
		TableName:                 &x.table,
		FilterExpression:          aws.String(isLiveEntry),
		ProjectionExpression:      aws.String("#hour, #ts"),
		ExpressionAttributeNames:  names(attrHour, attrTime, attrReport, attrExpires),
		ExpressionAttributeValues: item{":now": number(x.opts.Now().Unix())},
		ConsistentRead:            aws.Bool(true),
		ReturnConsumedCapacity:    types.ReturnConsumedCapacityTotal,
	}
}

// tenantPage returns the question for the first page of the table, with its places.
func (x *Index) tenantPage() *dynamodb.ScanInput {
	in := x.firstPage()
	in.FilterExpression = aws.String("(" + isLiveEntry + ") OR " + isLivePlace)
	in.ProjectionExpression = aws.String("#hour, #ts, #id, #state")
	in.ExpressionAttributeNames = names(attrHour, attrTime, attrReport, attrExpires, attrID, attrState)
	in.ExpressionAttributeValues[":one"] = number(1)
	return in
}

// Entries yields the tenant's entries with from ≤ Time < to in ascending
// order. It yields one error at most, and nothing after it. Entries that are
// put meanwhile may or may not be seen. A range of up to a year costs a query
// for each of its hours. A longer range costs what Rows costs, and a query for
// each row of the tenant. Entries holds one row in memory.
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
