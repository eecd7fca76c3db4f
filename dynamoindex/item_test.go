package dynamoindex

import (
	"math"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/timeblob/timeblob/index"
)

func TestRowOf(t *testing.T) {
	t.Parallel()
	for _, row := range []index.Row{{Tenant: "", Hour: 0}, {Tenant: "", Hour: -3}, {Tenant: "a-", Hour: 472222}, {Tenant: "a-472222-", Hour: 472222}, {Tenant: "x.y_z", Hour: -1}} {
		got, ok := rowOf(item{attrHour: text(row.Key()), attrTime: number(row.Start() + 5)})
		if !ok || got != row {
			t.Errorf("row %+v: got %+v, %t", row, got, ok)
		}
	}
	for _, c := range []item{
		{},
		{attrHour: number(1), attrTime: number(1)},
		{attrHour: text("a-0")},
		{attrHour: text("a-0"), attrTime: text("1")},
		{attrHour: text("a-1"), attrTime: number(1)},
		{attrHour: text("a-0#1"), attrTime: number(1)},
		{attrHour: text("#level/60000000000/a-0"), attrTime: number(1)},
		{attrHour: text("a-0"), attrTime: &types.AttributeValueMemberN{Value: "1e99"}},
	} {
		if row, ok := rowOf(c); ok {
			t.Errorf("item %v is taken for one of row %+v", c, row)
		}
	}
}

// TestOddSizes checks that an attribute that is not a size or sum counts as unknown, without an error.
func TestOddSizes(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]types.AttributeValue{
		"text": text("5"), "negative": number(-5), "fraction": &types.AttributeValueMemberN{Value: "5.5"},
		"huge": &types.AttributeValueMemberN{Value: "1e30"}, "bytes": binaryOf([]byte{5}), "list": &types.AttributeValueMemberL{},
	} {
		e, err := entryOf("a-0", item{attrHour: text("a-0"), attrTime: number(1), attrReport: text("k"), attrSize: v, attrSum: v})
		if err != nil || e != (index.Entry{Time: 1, Key: "k"}) {
			t.Errorf("%s: got %+v and error %v, want an entry of unknown size and sum", name, e, err)
		}
	}
}

func TestEntryWithoutAKey(t *testing.T) {
	t.Parallel()
	if e, err := entryOf("a-0", item{attrHour: text("a-0"), attrTime: number(1), attrReport: text("")}); err == nil {
		t.Errorf("an empty report is taken for the entry %+v", e)
	}
}

func TestExtremesOfRetention(t *testing.T) {
	t.Parallel()
	o, err := (&Options{Retention: math.MaxInt64}).filled()
	if err != nil {
		t.Fatal(err)
	}
	row := index.RowAt("t", math.MaxInt64-1)
	i, err := o.itemOf(row, index.Entry{Time: math.MaxInt64 - 1, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := i[attrExpires].(*types.AttributeValueMemberN); !ok || got.Value != "18446744074" {
		t.Errorf("expires is %+v, want 18446744074", i[attrExpires])
	}
}
