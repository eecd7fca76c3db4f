package dynamoindex

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/timeblob/timeblob/internal/pause"
)

// How often CreateTable looks whether a table is ready.
const (
	minPoll = 50 * time.Millisecond
	maxPoll = 2 * time.Second
)

// TableOptions say what a new table is like; nil and zero are on demand.
type TableOptions struct {
	// Provisioned pays for Read and Write units a second, used or not, rather
	// than for requests. Zero means the units of Scope's tables: 10 and 5. One collector writes a unit for each tenant and tick.
	Provisioned bool
	Read, Write int64
}

// CreateTable makes sure that the index's table is there and can be used. It
// creates a table that is absent, waits until it is active, some 10 s on AWS,
// and with Options.Retention turns its TTL on. Of a table that exists it checks
// the keys and the TTL attribute, and says what differs; opts is not looked at
// then. A table that is being deleted is waited for and created again. Any
// number of processes may call it at once. It waits as long as ctx lets it.
func (x *Index) CreateTable(ctx context.Context, opts *TableOptions) error {
	if err := x.createTable(ctx, opts); err != nil {
		return fmt.Errorf("create table %q: %w", x.table, err)
	}
	return nil
}

func (x *Index) createTable(ctx context.Context, opts *TableOptions) error {
	in, err := x.newTable(opts)
	if err != nil {
		return err
	}
	for wait := minPoll; ; wait = min(2*wait, maxPoll) {
		ready, err := x.step(ctx, in)
		if err != nil {
			return err
		}
		if ready {
			return x.enableTTL(ctx)
		}
		if err := pause.For(ctx, wait); err != nil {
			return err
		}
	}
}

// step looks at the table, and creates it when it is absent. A table is ready
// once it takes reads and writes.
func (x *Index) step(ctx context.Context, in *dynamodb.CreateTableInput) (ready bool, err error) {
	found, err := x.db.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &x.table})
	if _, absent := errors.AsType[*types.ResourceNotFoundException](err); absent {
		_, err = x.db.CreateTable(ctx, in)
		if _, raced := errors.AsType[*types.ResourceInUseException](err); raced {
			return false, nil // somebody else creates it now
		}
		return false, err
	}
	if err != nil {
		return false, err
	}
	switch status := found.Table.TableStatus; status {
	case types.TableStatusActive, types.TableStatusUpdating:
		return true, checkKeys(in, found.Table)
	case types.TableStatusCreating, types.TableStatusDeleting:
		return false, nil
	default:
		return false, fmt.Errorf("it exists and is %s", status)
	}
}

// newTable returns what to create.
func (x *Index) newTable(opts *TableOptions) (*dynamodb.CreateTableInput, error) {
	in := &dynamodb.CreateTableInput{
		TableName: &x.table,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(attrHour), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(attrTime), AttributeType: types.ScalarAttributeTypeN},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String(attrHour), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String(attrTime), KeyType: types.KeyTypeRange},
		},
		BillingMode: types.BillingModePayPerRequest,
	}
	units, err := opts.units()
	if units != nil {
		in.BillingMode, in.ProvisionedThroughput = types.BillingModeProvisioned, units
	}
	return in, err
}

// units returns what a table is to be provisioned with, nil for on demand.
func (o *TableOptions) units() (*types.ProvisionedThroughput, error) {
	if o == nil {
		return nil, nil
	}
	read, write := o.Read, o.Write
	if !o.Provisioned && (read != 0 || write != 0) {
		return nil, errors.New("capacity units are for provisioned tables: set Provisioned, or no units")
	}
	if !o.Provisioned {
		return nil, nil
	}
	fill(&read, 10)
	fill(&write, 5)
	if read < 1 || write < 1 {
		return nil, fmt.Errorf("%d read and %d write units: must be positive", read, write)
	}
	return &types.ProvisionedThroughput{ReadCapacityUnits: &read, WriteCapacityUnits: &write}, nil
}

// checkKeys returns an error unless a table has the keys that want would have.
func checkKeys(want *dynamodb.CreateTableInput, got *types.TableDescription) error {
	wanted := describeKeys(want.KeySchema, want.AttributeDefinitions)
	if is := describeKeys(got.KeySchema, got.AttributeDefinitions); is != wanted {
		return fmt.Errorf("it exists with the key %s, and the index needs %s: name another table", is, wanted)
	}
	return nil
}

// describeKeys returns, say, "hour (S, HASH), ts (N, RANGE)".
func describeKeys(keys []types.KeySchemaElement, attributes []types.AttributeDefinition) string {
	kinds := make(map[string]types.ScalarAttributeType, len(attributes))
	for _, a := range attributes {
		kinds[aws.ToString(a.AttributeName)] = a.AttributeType
	}
	var described []string
	for _, k := range keys {
		name := aws.ToString(k.AttributeName)
		described = append(described, fmt.Sprintf("%s (%s, %s)", name, kinds[name], k.KeyType))
	}
	return strings.Join(described, ", ")
}

// enableTTL lets DynamoDB delete what Options.Retention says.
func (x *Index) enableTTL(ctx context.Context) error {
	if x.opts.Retention == 0 {
		return nil
	}
	enabled, err := x.hasTTL(ctx)
	if enabled || err != nil {
		return err
	}
	_, err = x.db.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName:               &x.table,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(attrExpires), Enabled: aws.Bool(true)},
	})
	if err == nil {
		return nil
	}
	if enabled, again := x.hasTTL(ctx); enabled && again == nil {
		return nil // somebody else was faster
	}
	return err
}

// hasTTL tells whether the table deletes what expires, or soon will.
func (x *Index) hasTTL(ctx context.Context) (bool, error) {
	found, err := x.db.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &x.table})
	if err != nil || found.TimeToLiveDescription == nil {
		return false, err
	}
	is := found.TimeToLiveDescription
	if is.TimeToLiveStatus != types.TimeToLiveStatusEnabled && is.TimeToLiveStatus != types.TimeToLiveStatusEnabling {
		return false, nil
	}
	if name := aws.ToString(is.AttributeName); name != attrExpires {
		return false, fmt.Errorf("its TTL attribute is %q, and the index needs %q: turn the other off", name, attrExpires)
	}
	return true, nil
}
