package dynamoindex

import (
	"math"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/timeblob/timeblob/index"
)

// TestFrozenPartitions holds instants to the partitions they were put in.
func TestFrozenPartitions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		t    int64
		n    int
		want int
	}{
		{0, 1, 0},
		{0, 3, 0},
		{0, 64, 0},
		{1, 1, 0},
		{1, 3, 1},
		{1, 64, 37},
		{-1, 1, 0},
		{-1, 3, 0},
		{-1, 64, 59},
		{1700000000000000000, 1, 0},
		{1700000000000000000, 3, 1},
		{1700000000000000000, 64, 62},
		{1700000003000000000, 1, 0},
		{1700000003000000000, 3, 0},
		{1700000003000000000, 64, 17},
		{1700000000123456789, 1, 0},
		{1700000000123456789, 3, 1},
		{1700000000123456789, 64, 44},
		{math.MinInt64, 1, 0},
		{math.MinInt64, 3, 0},
		{math.MinInt64, 64, 10},
		{math.MaxInt64, 1, 0},
		{math.MaxInt64, 3, 1},
		{math.MaxInt64, 64, 61},
	} {
		if got := partitionOf(c.t, c.n); got != c.want {
			t.Errorf("instant %d is in partition %d of %d, want %d", c.t, got, c.n, c.want)
		}
	}
}

func TestPartitionsAreEven(t *testing.T) {
	t.Parallel()
	for _, step := range []int64{1, 3e9, 3600e9} {
		var n [16]int
		for i := range int64(16000) {
			n[partitionOf(1700000000e9+i*step, 16)]++
		}
		for p, got := range n {
			if got < 800 || got > 1200 {
				t.Errorf("instants %d ns apart: partition %d holds %d of 16000", step, p, got)
			}
		}
	}
}

func TestRowOf(t *testing.T) {
	t.Parallel()
	for _, row := range []index.Row{{Tenant: "", Hour: 0}, {Tenant: "", Hour: -3}, {Tenant: "a-", Hour: 472222}, {Tenant: "a-472222-", Hour: 472222}, {Tenant: "x.y_z", Hour: -1}} {
		for _, p := range []int{0, 1, 63} {
			got, partition, err := rowOf(item{attrHour: text(partitionKey(row, p)), attrTime: number(row.Start() + 5)})
			if err != nil || got != row || partition != p {
				t.Errorf("row %+v, partition %d: got %+v, %d and error %v", row, p, got, partition, err)
			}
		}
	}
	for _, c := range []item{
		{},
		{attrHour: number(1), attrTime: number(1)},
		{attrHour: text("a-0")},
		{attrHour: text("a-0"), attrTime: text("1")},
		{attrHour: text("a-1"), attrTime: number(1)},
		{attrHour: text("a-0#"), attrTime: number(1)},
		{attrHour: text("a-0#0"), attrTime: number(1)},
		{attrHour: text("a-0#-1"), attrTime: number(1)},
		{attrHour: text("a-0#x"), attrTime: number(1)},
		{attrHour: text("a-0"), attrTime: &types.AttributeValueMemberN{Value: "1e99"}},
	} {
		if row, p, err := rowOf(c); err == nil {
			t.Errorf("item %v is taken for one of row %+v, partition %d", c, row, p)
		}
	}
}

func TestEntryWithoutAKey(t *testing.T) {
	t.Parallel()
	if e, err := entryOf("a-0", item{attrTime: number(1), attrReport: text("")}); err == nil {
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
	i, err := o.itemOf(row, index.Entry{Time: math.MaxInt64 - 1, Key: "k"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := i[attrExpires].(*types.AttributeValueMemberN); !ok || got.Value != "18446744074" {
		t.Errorf("expires is %+v, want 18446744074", i[attrExpires])
	}
}
