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

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
)

// The attributes of an item. Frozen.
const (
	attrHour    = "hour"
	attrTime    = "ts"
	attrReport  = "report"
	attrPut     = "put"
	attrSize    = "size"
	attrSum     = "sum"
	attrExpires = "expires"
	attrID      = "id"
	attrState   = "state"
)

// reserved is part of the hour of every item that is not an entry, and of no
// tenant's id. Frozen.
const reserved = "#"

// ErrExpired is returned by Put when the entry is older than Options.Retention
// and so would not be found.
var ErrExpired = errors.New("entry is older than the index's retention")

// item is what DynamoDB holds of one entry or one place.
type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func binaryOf(b []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// itemOf returns the item of an entry that the row can hold.
func (o *Options) itemOf(row index.Row, e index.Entry) (item, error) {
	i := item{
		attrHour:   text(row.Key()),
		attrTime:   number(e.Time),
		attrReport: text(e.Key),
		attrPut:    binaryOf(binary.BigEndian.AppendUint64(nil, rand.Uint64())),
	}
	if e.Size > 0 {
		i[attrSize] = number(e.Size)
	}
	if e.Sum.Known() {
		i[attrSum] = binaryOf(e.Sum[:])
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

// check refuses an entry that a query would never find, or would find changed:
// an instant outside the row, and strings that JSON cannot carry.
func check(row index.Row, e index.Entry) error {
	if index.RowAt(row.Tenant, e.Time) != row {
		return fmt.Errorf("instant %d is not in hour %d", e.Time, row.Hour)
	}
	if e.Key == "" || !utf8.ValidString(e.Key) {
		return fmt.Errorf("blob key %.80q: must be UTF-8 and not empty", e.Key)
	}
	return checkTenant(row.Tenant)
}

// checkTenant refuses tenant ids whose rows other items could share a key with.
func checkTenant(tenant string) error {
	if !utf8.ValidString(tenant) || strings.Contains(tenant, reserved) {
		return fmt.Errorf("tenant id %.80q: must be UTF-8 without %q", tenant, reserved)
	}
	return nil
}

// keyOf returns the part of an item that names it.
func keyOf(i item) item { return item{attrHour: i[attrHour], attrTime: i[attrTime]} }

// samePut reports whether one call of Put made both items.
func samePut(a, b item) bool {
	mine, ok := a[attrPut].(*types.AttributeValueMemberB)
	other, same := b[attrPut].(*types.AttributeValueMemberB)
	return ok && same && string(mine.Value) == string(other.Value)
}

// mustBeOf returns an error unless an item has the attribute hour that was asked for.
func mustBeOf(hour string, i item) error {
	if is, ok := i[attrHour].(*types.AttributeValueMemberS); !ok || is.Value != hour {
		return fmt.Errorf("the answer to a query of %q has an item whose attribute %q is %s", hour, attrHour, kind(i[attrHour]))
	}
	return nil
}

// entryOf returns the entry of an item of the row named key.
func entryOf(key string, i item) (index.Entry, error) {
	t, err := timeOf(i)
	if err != nil {
		return index.Entry{}, fmt.Errorf("item of row %q: %w", key, err)
	}
	if err := mustBeOf(key, i); err != nil {
		return index.Entry{}, err
	}
	report, ok := i[attrReport].(*types.AttributeValueMemberS)
	if !ok || report.Value == "" {
		return index.Entry{}, fmt.Errorf("item of row %q, instant %d: its attribute %q is %s, want a blob's key",
			key, t, attrReport, kind(i[attrReport]))
	}
	return index.Entry{Time: t, Key: report.Value, Size: intOf(i[attrSize]), Sum: sumOf(i[attrSum])}, nil
}

// intOf returns an attribute's value, or 0 when it is not a positive integer.
func intOf(v types.AttributeValue) int64 {
	n, ok := v.(*types.AttributeValueMemberN)
	if !ok {
		return 0
	}
	i, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil || i < 0 {
		return 0
	}
	return i
}

// sumOf returns an attribute's value, or zero when it is not a sum.
func sumOf(v types.AttributeValue) (sum blob.Sum) {
	if b, ok := v.(*types.AttributeValueMemberB); ok && len(b.Value) == len(sum) {
		return blob.Sum(b.Value)
	}
	return sum
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

// kind describes an attribute's value for an error message.
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

// rowOf returns the row of an entry's item. It is false for an item that is
// not an entry of any row.
func rowOf(i item) (row index.Row, ok bool) {
	hour, ok := i[attrHour].(*types.AttributeValueMemberS)
	if !ok || strings.Contains(hour.Value, reserved) {
		return row, false
	}
	t, err := timeOf(i)
	if err != nil {
		return row, false
	}
	row, err = index.ParseRow(hour.Value, t)
	return row, err == nil
}
