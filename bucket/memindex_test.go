package bucket_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/indextest"
)

func openMemIndex(*testing.T) bucket.Index { return bucket.NewMemIndex() }

func TestMemIndex(t *testing.T) {
	t.Parallel()
	indextest.Run(t, openMemIndex)
}

func TestMemIndexLarge(t *testing.T) {
	t.Parallel()
	indextest.RunLarge(t, openMemIndex)
}

func TestMemIndexZeroValue(t *testing.T) {
	t.Parallel()
	var x bucket.MemIndex
	row := bucket.RowAt("a", 1)
	if got, err := x.Query(t.Context(), row, 0, 9); len(got) != 0 || err != nil {
		t.Fatalf("query of an empty index: %v, %v", got, err)
	}
	if err := x.Put(t.Context(), row, bucket.Entry{Time: 1, Key: "k"}); err != nil {
		t.Fatal(err)
	}
	if got, err := x.Query(t.Context(), row, 0, 9); len(got) != 1 || err != nil {
		t.Fatalf("query after a put: %v, %v", got, err)
	}
}

func TestMemIndexRefusesInstantsOfOtherRows(t *testing.T) {
	t.Parallel()
	x, row := bucket.NewMemIndex(), bucket.RowAt("a", 0)
	for _, instant := range []int64{row.Start() - 1, row.End()} {
		if err := x.Put(t.Context(), row, bucket.Entry{Time: instant, Key: "k"}); err == nil {
			t.Errorf("put of instant %d into %+v: no error", instant, row)
		}
	}
}

func BenchmarkMemIndex(b *testing.B) {
	indextest.RunBenchmarks(b, func(*testing.B) bucket.Index { return bucket.NewMemIndex() })
}

func ExampleNewMemIndex() {
	ctx := context.Background()
	index := bucket.NewMemIndex()
	noon := time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC).UnixNano()
	row := bucket.RowAt("acme", noon)
	fmt.Println(index.Put(ctx, row, bucket.Entry{Time: noon, Key: row.BlobKey(noon)}))
	fmt.Println(index.Put(ctx, row, bucket.Entry{Time: noon, Key: "too late"}))
	fmt.Println(index.Query(ctx, row, noon, noon+1))
	// Output:
	// <nil>
	// file already exists
	// [{1715947200000000000 0a5896cc7263a486506952da94deb8dc/1715947200000000000}] <nil>
}
