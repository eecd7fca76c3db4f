package dynamoindex

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/timeblob/timeblob/index"
)

// Put implements index.Index. It costs one write unit, and a read unit more
// when the instant is taken. The first request of an Index reads one unit more,
// to see that the table is not spread over partitions. Puts that do not come from
// package bucket read one unit more a minute, to see whether the table has levels.
//
// When the instant is taken after an attempt whose answer did not come, the error is
// not ErrExists: that attempt may still take effect if the instant becomes free.
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
		unsure, isUnsure := errors.AsType[*unsureError](err)
		if err = x.taken(ctx, mine, taken.Item); isUnsure && errors.Is(err, index.ErrExists) {
			err = unsure
		}
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

// Query implements index.Index. It costs a request for each MB of the entries
// in the range, at least one, and a read unit for each 4 kB. An item that has
// the attribute report and is not an entry is an error that names it, and so is one
// that was not asked for.
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
	return found, inOrder(found, from, to)
}

// queryOf returns the question for the first page of a row's entries.
func (x *Index) queryOf(key string, from, to int64) *dynamodb.QueryInput {
	return &dynamodb.QueryInput{
		TableName:                &x.table,
		KeyConditionExpression:   aws.String(keyCondition),
		FilterExpression:         aws.String(isLiveEntry),
		ProjectionExpression:     aws.String("#hour, #ts, #report, #size, #sum"),
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

// inOrder returns an error unless the entries ascend and lie in [from, to).
func inOrder(entries []index.Entry, from, to int64) error {
	for i, e := range entries {
		if e.Time < from || e.Time >= to || i > 0 && e.Time <= entries[i-1].Time {
			return fmt.Errorf("the answer to a query of [%d, %d) has an item of instant %d at position %d, which is out of range or out of order", from, to, e.Time, i)
		}
	}
	return nil
}
