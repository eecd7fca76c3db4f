package indextest

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/index"
)

// rowOf returns a row that belongs to the test named tenant.
func rowOf(tenant string) index.Row {
	return index.Row{Tenant: "t." + tenant, Hour: 472222}
}

// entryAt returns the entry a collector would write at instant t.
func entryAt(row index.Row, t int64) index.Entry {
	return index.Entry{Time: t, Key: row.BlobKey(t)}
}

func put(t rapid.TB, x index.Index, row index.Row, e index.Entry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := x.Put(ctx, row, e); err != nil {
		t.Fatalf("put of %d in row %+v: %v", e.Time, row, err)
	}
}

func query(t rapid.TB, x index.Index, row index.Row, from, to int64) []index.Entry {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got, err := x.Query(ctx, row, from, to)
	if err != nil {
		t.Fatalf("query of [%d, %d) in row %+v: %v", from, to, row, err)
	}
	return got
}

// expect fails unless a query of [from, to) finds exactly want.
func expect(t rapid.TB, x index.Index, row index.Row, from, to int64, want []index.Entry) {
	t.Helper()
	got := query(t, x, row, from, to)
	if slices.Equal(got, want) {
		return
	}
	if len(got)+len(want) <= 40 {
		t.Fatalf("query of [%d, %d) in row %+v:\n got %v\nwant %v", from, to, row, got, want)
	}
	t.Fatalf("query of [%d, %d) in row %+v: got %d entries, want %d or others", from, to, row, len(got), len(want))
}

// expectAll fails unless want is all that the row holds.
func expectAll(t rapid.TB, x index.Index, row index.Row, want []index.Entry) {
	t.Helper()
	expect(t, x, row, math.MinInt64, math.MaxInt64, want)
}

// fill puts an entry at each instant, in random order, and returns them
// ascending.
func fill(t rapid.TB, x index.Index, row index.Row, instants ...int64) []index.Entry {
	t.Helper()
	entries := make([]index.Entry, len(instants))
	for i, n := range rand.Perm(len(instants)) {
		entries[i] = entryAt(row, instants[n])
		put(t, x, row, entries[i])
	}
	slices.SortFunc(entries, byTime)
	return entries
}

func byTime(a, b index.Entry) int { return cmp.Compare(a.Time, b.Time) }

func scan(ctx context.Context, t *testing.T, idx index.Scanner, tenant string, from, to int64) (all []index.Entry) {
	for e, err := range idx.Scan(ctx, tenant, from, to) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// patience bounds every single test, so that an index that hangs fails it.
const patience = 2 * time.Minute
