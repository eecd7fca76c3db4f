package dynamoindex

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/index"
)

// maxDeletes is how many requests of one Delete are under way at a time.
const maxDeletes = 16

// isEntry is true of the item that holds the entry to delete, and of no other.
const isEntry = "#report = :report"

// Delete implements index.Deleter. It costs a request and a write unit for
// each entry, 16 at a time. DynamoDB deletes 25 items in one request only
// without conditions, which could remove an entry that another writer has put
// in the instant meanwhile.
func (x *Index) Delete(ctx context.Context, row index.Row, entries []index.Entry) error {
	if err := errors.Join(ctx.Err(), checkTenant(row.Tenant)); err != nil || len(entries) == 0 {
		return err
	}
	if err := x.checkWhole(ctx); err != nil {
		return err
	}
	if err := x.mayDelete(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxDeletes)
	for _, e := range entries {
		if index.RowAt(row.Tenant, e.Time) == row { // the row holds no other instants
			group.Go(func() error { return x.deleteEntry(ctx, row, e) })
		}
	}
	return group.Wait()
}

func (x *Index) deleteEntry(ctx context.Context, row index.Row, e index.Entry) error {
	_, err := x.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName:                 &x.table,
		Key:                       item{attrHour: text(row.Key()), attrTime: number(e.Time)},
		ConditionExpression:       aws.String(isEntry),
		ExpressionAttributeNames:  names(attrReport),
		ExpressionAttributeValues: item{":report": text(e.Key)},
		ReturnConsumedCapacity:    types.ReturnConsumedCapacityTotal,
	})
	if _, other := errors.AsType[*types.ConditionalCheckFailedException](err); other {
		return nil // it is gone, or the instant holds another entry
	}
	return err
}
