package indextest

import (
	"testing"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
)

// testSizes puts entries with a size and a sum between entries without. What
// was put comes back, or is unknown; nothing else does.
func testSizes(t *testing.T, x index.Index) {
	row := rowOf("sizes")
	want := make([]index.Entry, 24)
	for i := range want {
		want[i] = entryAt(row, row.Start()+int64(i)*int64(time.Second))
		switch i % 4 {
		case 1:
			want[i].Size = 1 << (2 * i)
		case 2:
			want[i].Sum = blob.SumOf([]byte(want[i].Key))
		case 3:
			want[i].Size, want[i].Sum = int64(i), blob.SumOf([]byte(want[i].Key))
		}
		put(t, x, row, want[i])
	}
	checkKnown(t, query(t, x, row, row.Start(), row.End()), want)
	if scanner, ok := x.(index.Scanner); ok {
		checkKnown(t, scan(t.Context(), t, scanner, row.Tenant, row.Start(), row.End()), want)
	}
}

func checkKnown(t *testing.T, got, want []index.Entry) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d entries, want %d", len(got), len(want))
	}
	for i, e := range got {
		size, sum := e.Size == want[i].Size || e.Size == 0, e.Sum == want[i].Sum || !e.Sum.Known()
		if !e.Same(want[i]) || !size || !sum {
			t.Errorf("got %+v, want %+v, or its size and its sum unknown", e, want[i])
		}
	}
}
