package indextest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/timeblob/timeblob/index"
)

// testScan compares Scan with what was put.
func testScan(t *testing.T, idx index.Index) {
	scanner, ok := idx.(index.Scanner)
	if !ok {
		t.Skip("the index is no index.Scanner")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const from, to = -3 * hour, 2000 * hour
	want := scatter(ctx, t, idx, "t.scan", from, to)
	scatter(ctx, t, idx, "t.scan2", from, to)
	for range 20 {
		a, b := from+rand.Int64N(to-from), from+rand.Int64N(to-from)
		got := scan(ctx, t, scanner, "t.scan", a, b)
		if !slices.Equal(got, between(want, a, b)) {
			t.Fatalf("scan of [%d, %d): got %v, want %v", a, b, got, between(want, a, b))
		}
	}
	if got := scan(ctx, t, scanner, "t.scan", from, to); !slices.Equal(got, want) {
		t.Fatalf("scan of everything: got %v, want %v", got, want)
	}
	cancel()
	for _, err := range scanner.Scan(ctx, "t.scan", from, to) {
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("scan under a context that has ended: %v", err)
		}
	}
}

const hour = int64(3_600_000_000_000)

// scatter puts entries into few of many rows and returns them in order.
func scatter(ctx context.Context, t *testing.T, idx index.Index, tenant string, from, to int64) (all []index.Entry) {
	for range 40 {
		at := from + rand.Int64N(to-from)
		row := index.RowAt(tenant, at)
		e := index.Entry{Time: at, Key: row.BlobKey(at)}
		if err := idx.Put(ctx, row, e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	slices.SortFunc(all, byTime)
	return all
}

func between(all []index.Entry, from, to int64) (some []index.Entry) {
	for _, e := range all {
		if e.Time >= from && e.Time < to {
			some = append(some, e)
		}
	}
	return some
}
