// Package indextest checks that an index.Index keeps its promises, and
// measures it. Run checks the index itself and the optional interfaces that
// share its entries; RunCommitter and RunPlaces check the others.
package indextest

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/index"
)

// Run checks every promise of index.Index in parallel subtests, and the promises of Scanner, Deleter and TenantLister, which are skipped where the index does not implement them. It calls open once, which must return an empty index and
// may leave closing it to t.Cleanup. It makes some 2 500 operations, about a
// third of them one after the other, so that a store over HTTP with 5 ms a put
// takes a few seconds. RunLarge checks rows that do not fit one page of a
// store.
func Run(t *testing.T, open func(t *testing.T) index.Index) {
	idx := open(t)
	for name, test := range map[string]func(*testing.T, index.Index){
		"Order":            testOrder,
		"OrderOfDigits":    testOrderOfDigits,
		"Bounds":           testBounds,
		"Extremes":         testExtremes,
		"EmptyRow":         testEmptyRow,
		"RowsApart":        testRowsApart,
		"HoursApart":       testHoursApart,
		"Taken":            testTaken,
		"OneWins":          testOneWins,
		"ReadersWriters":   testReadersWriters,
		"ReadYourWrites":   testReadYourWrites,
		"Cancelled":        testCancelled,
		"SliceIsCallers":   testSliceIsCallers,
		"Keys":             testKeys,
		"Sizes":            testSizes,
		"RandomOperations": testRandomOperations,
		"Scan":             testScan,
		"Delete":           testDelete,
		"DeleteFrees":      testDeleteFrees,
		"Tenants":          testTenants,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, idx)
		})
	}
}

func testOrder(t *testing.T, x index.Index) {
	row := rowOf("order")
	instants := make([]int64, 40)
	for i := range instants {
		instants[i] = row.Start() + int64(i)*int64(90*time.Second) + rand.Int64N(int64(time.Second))
	}
	expectAll(t, x, row, fill(t, x, row, instants...))
}

// testOrderOfDigits tells numbers from their decimal digits.
func testOrderOfDigits(t *testing.T, x index.Index) {
	after := index.RowAt("t.digits", 0)
	expectAll(t, x, after, fill(t, x, after, 0, 1, 2, 9, 10, 11, 99, 100, 1e9))
	before := index.RowAt("t.digits", -1)
	want := fill(t, x, before, -1, -2, -9, -10, -11, -99, -100, -1e9)
	expectAll(t, x, before, want)
	expect(t, x, before, -10, -1, want[4:7])
}

func testBounds(t *testing.T, x index.Index) {
	row := rowOf("bounds")
	a, z := row.Start(), row.End()-1
	m := a + int64(30*time.Minute)
	e := fill(t, x, row, a, m, m+1, m+2, z)
	for name, c := range map[string]struct {
		from, to int64
		want     []index.Entry
	}{
		"exactly the row":         {a, z + 1, e},
		"beyond the row":          {a - 1e15, z + 1e15, e},
		"all of time":             {math.MinInt64, math.MaxInt64, e},
		"one nanosecond":          {m + 1, m + 2, e[2:3]},
		"from is included":        {m, m + 2, e[1:3]},
		"to is not":               {m + 1, m + 2, e[2:3]},
		"first of the row":        {a, a + 1, e[:1]},
		"all but the first":       {a + 1, z + 1, e[1:]},
		"last of the row":         {z, z + 1, e[4:]},
		"all but the last":        {a, z, e[:4]},
		"between entries":         {a + 1, m, nil},
		"empty range on an entry": {m, m, nil},
		"from after to":           {m + 3, m, nil},
		"from after to, far":      {math.MaxInt64, math.MinInt64, nil},
		"before the row":          {a - 100, a, nil},
		"after the row":           {z + 1, z + 100, nil},
	} {
		got := query(t, x, row, c.from, c.to)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: query of [%d, %d): got %v, want %v", name, c.from, c.to, got, c.want)
		}
	}
}

// testExtremes uses the first and the last instants that a range can hold.
func testExtremes(t *testing.T, x index.Index) {
	first := index.RowAt("t.extremes", math.MinInt64)
	e := fill(t, x, first, math.MinInt64, math.MinInt64+1)
	expectAll(t, x, first, e)
	expect(t, x, first, math.MinInt64, math.MinInt64+1, e[:1])
	last := index.RowAt("t.extremes", math.MaxInt64)
	e = fill(t, x, last, math.MaxInt64-2, math.MaxInt64-1)
	expectAll(t, x, last, e)
	expect(t, x, last, math.MaxInt64-1, math.MaxInt64, e[1:])
}

func testEmptyRow(t *testing.T, x index.Index) {
	row := rowOf("nothing")
	expectAll(t, x, row, nil)
	expect(t, x, row, row.Start(), row.Start(), nil)
}

// testRowsApart uses tenants that begin, end or sort like others, and pairs of
// rows with the same Row.Key: "a--5" is hour −5 of "a" and hour 5 of "a-". An
// index that stores entries by Row.Key and does not cut a query to the row's
// hour finds the other tenant's entries.
func testRowsApart(t *testing.T, x index.Index) {
	rows := []index.Row{{Tenant: "a-", Hour: 5}, {Tenant: "a", Hour: -5}, {Tenant: "-", Hour: 7}, {Tenant: "", Hour: -7}}
	for _, tenant := range []string{"", "a", "ab", "abc", "a-", "a.", "a_", "A", "a0", "-", "--", ".", "_", "a-472223", strings.Repeat("a", 64)} {
		rows = append(rows, index.Row{Tenant: tenant, Hour: 472223}, index.Row{Tenant: tenant, Hour: -1})
	}
	want := make(map[index.Row][]index.Entry)
	for _, row := range rows {
		want[row] = fill(t, x, row, row.Start()+17, row.Start()+18)
	}
	for _, row := range rows {
		for _, e := range query(t, x, row, math.MinInt64, math.MaxInt64) {
			if index.RowAt(row.Tenant, e.Time) != row {
				t.Fatalf("a query of row %+v found instant %d, which is not in the row's hour: "+
					"another tenant's row has the same Row.Key, so a query must be cut to the hour", row, e.Time)
			}
		}
		expectAll(t, x, row, want[row])
	}
}

// testHoursApart puts entries on both sides of the edges of hours.
func testHoursApart(t *testing.T, x index.Index) {
	for _, hour := range []int64{-2, -1, 0, 1, 472221, 472222} {
		row := index.Row{Tenant: "t.hours", Hour: hour}
		fill(t, x, row, row.Start(), row.End()-1)
	}
	for _, hour := range []int64{-2, -1, 0, 1, 472221, 472222} {
		row := index.Row{Tenant: "t.hours", Hour: hour}
		expectAll(t, x, row, []index.Entry{entryAt(row, row.Start()), entryAt(row, row.End()-1)})
	}
	expectAll(t, x, index.Row{Tenant: "t.hours", Hour: -3}, nil)
	expectAll(t, x, index.Row{Tenant: "t.hours", Hour: 2}, nil)
}

func testTaken(t *testing.T, x index.Index) {
	row := rowOf("taken")
	first := entryAt(row, row.Start()+5)
	put(t, x, row, first)
	for _, key := range []string{first.Key, "another/1", "a", strings.Repeat("z", 200)} {
		err := x.Put(t.Context(), row, index.Entry{Time: first.Time, Key: key})
		if !errors.Is(err, index.ErrExists) {
			t.Errorf("second put of an instant, key %.20q: got error %v, want ErrExists", key, err)
		}
		expectAll(t, x, row, []index.Entry{first})
	}
	other := rowOf("taken.by.another")
	put(t, x, other, index.Entry{Time: first.Time, Key: first.Key})
	expectAll(t, x, other, []index.Entry{first})
}

func testReadYourWrites(t *testing.T, x index.Index) {
	row := rowOf("reads")
	for i := range int64(60) {
		e := entryAt(row, row.Start()+i*int64(time.Minute))
		put(t, x, row, e)
		expect(t, x, row, e.Time, e.Time+1, []index.Entry{e})
	}
}

func testCancelled(t *testing.T, x index.Index) {
	row := rowOf("cancelled")
	e := entryAt(row, row.Start())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.Put(ctx, row, e); !errors.Is(err, context.Canceled) {
		t.Errorf("put with a cancelled context: got error %v, want context.Canceled", err)
	}
	if _, err := x.Query(ctx, row, row.Start(), row.End()); !errors.Is(err, context.Canceled) {
		t.Errorf("query with a cancelled context: got error %v, want context.Canceled", err)
	}
	if err := x.Put(t.Context(), row, e); err != nil && !errors.Is(err, index.ErrExists) {
		t.Errorf("put after a cancelled one: %v", err)
	}
	expectAll(t, x, row, []index.Entry{e})
}

func testSliceIsCallers(t *testing.T, x index.Index) {
	row := rowOf("slices")
	want := fill(t, x, row, row.Start()+1, row.Start()+2, row.Start()+3)
	got := query(t, x, row, row.Start(), row.End()-1)
	clear(append(got[:1], index.Entry{Time: 9, Key: "scribble"}))
	clear(got)
	expectAll(t, x, row, want)
}

// testKeys uses keys of any valid UTF-8, up to 1 kB.
func testKeys(t *testing.T, x index.Index) {
	row := rowOf("keys")
	keys := []string{"k", "with space", "per%cent/слэш", "line\nbreak", `"quoted\`, "123", "true",
		strings.Repeat("0123456789abcdef", 64), strings.Repeat("é", 512)}
	var want []index.Entry
	for i, key := range keys {
		want = append(want, index.Entry{Time: row.Start() + int64(i), Key: key})
		put(t, x, row, want[i])
	}
	expectAll(t, x, row, want)
}
