package dynamoindex

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/timeblob/timeblob/index"
)

// The attributes of an item. Frozen.
const (
	attrHour    = "hour"
	attrTime    = "ts"
	attrReport  = "report"
	attrPut     = "put"
	attrExpires = "expires"
)

// partitionMark is what separates the row's key from the number of a
// partition. Frozen; not a byte of any tenant id.
const partitionMark = "#"

// ErrExpired is returned by Put when the entry is older than Options.Retention
// and so would not be found.
var ErrExpired = errors.New("entry is older than the index's retention")

// item is what DynamoDB holds of one entry.
type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// itemOf returns the item of an entry that the row, spread over n partitions,
// can hold.
func (o *Options) itemOf(row index.Row, e index.Entry, n int) (item, error) {
	i := item{
		attrHour:   text(partitionKey(row, partitionOf(e.Time, n))),
		attrTime:   number(e.Time),
		attrReport: text(e.Key),
		attrPut:    &types.AttributeValueMemberB{Value: binary.BigEndian.AppendUint64(nil, rand.Uint64())},
	}
	if o.Retention == 0 {
		return i, nil
	}
	expires := time.Unix(0, e.Time).Add(o.Retention).Unix() + 1
	if expires <= o.Now().Unix() {
		return nil, ErrExpired
	}
	i[attrExpires] = number(expires)
	return i, nil
}

// check refuses what a query would never find, or find changed: an instant
// that lies outside of the row, and strings that JSON cannot carry.
func check(row index.Row, e index.Entry) error {
	if index.RowAt(row.Tenant, e.Time) != row {
		return fmt.Errorf("instant %d is not in hour %d", e.Time, row.Hour)
	}
	if e.Key == "" || !utf8.ValidString(e.Key) {
		return fmt.Errorf("blob key %.80q: must be UTF-8 and not empty", e.Key)
	}
	return checkTenant(row.Tenant)
}

// checkTenant refuses ids of which the row keys would not be their own.
func checkTenant(tenant string) error {
	if !utf8.ValidString(tenant) || strings.Contains(tenant, partitionMark) {
		return fmt.Errorf("tenant id %.80q: must be UTF-8 without %q", tenant, partitionMark)
	}
	return nil
}

// keyOf returns the part of an item that names it.
func keyOf(i item) item { return item{attrHour: i[attrHour], attrTime: i[attrTime]} }

// samePut tells whether one call of Put made both items.
func samePut(a, b item) bool {
	mine, ok := a[attrPut].(*types.AttributeValueMemberB)
	other, same := b[attrPut].(*types.AttributeValueMemberB)
	return ok && same && string(mine.Value) == string(other.Value)
}

// entryOf returns the entry of an item of the partition named key.
func entryOf(key string, i item) (index.Entry, error) {
	t, err := timeOf(i)
	if err != nil {
		return index.Entry{}, fmt.Errorf("item of row %q: %w", key, err)
	}
	report, ok := i[attrReport].(*types.AttributeValueMemberS)
	if !ok || report.Value == "" {
		return index.Entry{}, fmt.Errorf("item of row %q, instant %d: its attribute %q is %s, want a blob's key",
			key, t, attrReport, kind(i[attrReport]))
	}
	return index.Entry{Time: t, Key: report.Value}, nil
}

// timeOf returns the instant of an item.
func timeOf(i item) (int64, error) {
	n, ok := i[attrTime].(*types.AttributeValueMemberN)
	if !ok {
		return 0, fmt.Errorf("its attribute %q is %s, want a number", attrTime, kind(i[attrTime]))
	}
	t, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("its attribute %q is %.40q, want Unix nanoseconds", attrTime, n.Value)
	}
	return t, nil
}

// kind describes an attribute's value to somebody who did not expect it.
func kind(v types.AttributeValue) string {
	switch v := v.(type) {
	case nil:
		return "missing"
	case *types.AttributeValueMemberS:
		return fmt.Sprintf("the string %.40q", v.Value)
	case *types.AttributeValueMemberN:
		return "the number " + v.Value
	}
	return "of type " + strings.TrimPrefix(fmt.Sprintf("%T", v), "*types.AttributeValueMember")
}

// rowOf returns the row of an item and the number of its partition.
func rowOf(i item) (row index.Row, partition int, err error) {
	hour, ok := i[attrHour].(*types.AttributeValueMemberS)
	if !ok {
		return row, 0, fmt.Errorf("item whose attribute %q is %s, want a row's key", attrHour, kind(i[attrHour]))
	}
	t, err := timeOf(i)
	if err != nil {
		return row, 0, fmt.Errorf("item of row %q: %w", hour.Value, err)
	}
	key, suffix, spread := strings.Cut(hour.Value, partitionMark)
	if spread {
		if partition, err = strconv.Atoi(suffix); err != nil || partition < 1 {
			return row, 0, fmt.Errorf("item of row %q: %q is not the number of a partition", hour.Value, suffix)
		}
	}
	row, err = index.ParseRow(key, t)
	return row, partition, err
}

// partitionKey returns the value of attribute hour for a row's partition.
func partitionKey(row index.Row, partition int) string {
	if partition == 0 {
		return row.Key()
	}
	return row.Key() + partitionMark + strconv.Itoa(partition)
}

// partitionOf returns which of n partitions holds the instant t. Frozen.
func partitionOf(t int64, n int) int {
	x := uint64(t)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return int((x ^ x>>31) % uint64(n))
}
