package dynamoindex

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// The key of the item in which earlier versions kept the number of partitions,
// and its attribute. Frozen.
const (
	markerHour = reserved + "partitions"
	attrN      = "n"
)

// PartitionedError says that a table's rows are spread over several partition
// keys each, which an earlier version could do and this one cannot read.
type PartitionedError struct {
	Table      string
	Partitions string // their number, as the table says it
}

func (e *PartitionedError) Error() string {
	return fmt.Sprintf("table %q: its rows are spread over %s partition keys each, which this version does not read: "+
		"copy it to another table with the version that wrote it", e.Table, e.Partitions)
}

// checkWhole refuses a table that is spread over partitions. It reads the
// table's marker once, which costs a request and a read unit; callers that
// start together may each read it.
func (x *Index) checkWhole(ctx context.Context) error {
	if x.whole.Load() {
		return nil
	}
	found, err := x.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:              &x.table,
		Key:                    item{attrHour: text(markerHour), attrTime: number(0)},
		ConsistentRead:         aws.Bool(true),
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	})
	if err != nil {
		return err
	}
	if n := kind(found.Item[attrN]); len(found.Item) > 0 && n != "the number 1" {
		if number, ok := found.Item[attrN].(*types.AttributeValueMemberN); ok {
			n = number.Value
		}
		return &PartitionedError{x.table, n}
	}
	x.whole.Store(true)
	return nil
}
