package index_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/index/indextest"
)

func openMemIndex(*testing.T) index.Index { return index.NewMemIndex() }

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
	var x index.MemIndex
	row := index.RowAt("a", 1)
	if got, err := x.Query(t.Context(), row, 0, 9); len(got) != 0 || err != nil {
		t.Fatalf("query of an empty index: %v, %v", got, err)
	}
	if err := x.Put(t.Context(), row, index.Entry{Time: 1, Key: "k"}); err != nil {
		t.Fatal(err)
	}
	if got, err := x.Query(t.Context(), row, 0, 9); len(got) != 1 || err != nil {
		t.Fatalf("query after a put: %v, %v", got, err)
	}
}

func TestMemIndexRefusesInstantsOfOtherRows(t *testing.T) {
	t.Parallel()
	x, row := index.NewMemIndex(), index.RowAt("a", 0)
	for _, instant := range []int64{row.Start() - 1, row.End()} {
		if err := x.Put(t.Context(), row, index.Entry{Time: instant, Key: "k"}); err == nil {
			t.Errorf("put of instant %d into %+v: no error", instant, row)
		}
	}
}

func BenchmarkMemIndex(b *testing.B) {
	indextest.RunBenchmarks(b, func(*testing.B) index.Index { return index.NewMemIndex() })
}

func ExampleNewMemIndex() {
	ctx := context.Background()
	idx := index.NewMemIndex()
	noon := time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC).UnixNano()
	row := index.RowAt("acme", noon)
	fmt.Println(idx.Put(ctx, row, index.Entry{Time: noon, Key: row.BlobKey(noon)}))
	fmt.Println(idx.Put(ctx, row, index.Entry{Time: noon, Key: "too late"}))
	entries, err := idx.Query(ctx, row, noon, noon+1)
	fmt.Println(entries[0].Time, entries[0].Key, err)
	// Output:
	// <nil>
	// file already exists
	// 1715947200000000000 0a5896cc7263a486506952da94deb8dc/1715947200000000000 <nil>
}

func TestMemIndexPlaces(t *testing.T) {
	t.Parallel()
	indextest.RunPlaces(t, openMemIndex)
	indextest.RunGuard(t, openMemIndex)
}
