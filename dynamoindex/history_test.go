package dynamoindex_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/servertest"
)

// past writes three entries in each of some rows and returns the rows, in
// order.
func past(t *testing.T, x *dynamoindex.Index) []index.Row {
	rows := []index.Row{
		{Tenant: "", Hour: 472222}, {Tenant: "a", Hour: -3}, {Tenant: "a", Hour: 472221}, {Tenant: "a", Hour: 472222},
		{Tenant: "a-", Hour: 3}, {Tenant: "b", Hour: 472222},
	}
	for i := range rows {
		row := rows[len(rows)-1-i]
		put(t, x, row, entries(row, 3)...)
	}
	return rows
}

func TestRows(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		x, _ := fresh(t, endpoint, nil)
		want := past(t, x)
		if got, err := x.Rows(t.Context()); err != nil || !slices.Equal(got, want) {
			t.Errorf("rows: got %v and error %v, want %v", got, err, want)
		}
	})
}

// collect returns what a loop over entries yields.
func collect(ctx context.Context, x *dynamoindex.Index, tenant string, from, to int64) (all []index.Entry, err error) {
	for e, err := range x.Entries(ctx, tenant, from, to) {
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}

func TestEntries(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		x, transport, _ := faulty(t, endpoint, patient())
		rows := past(t, x)
		first, last := rows[1].Start(), rows[3].End()
		a := slices.Concat(entries(rows[1], 3), entries(rows[2], 3), entries(rows[3], 3))
		for name, c := range map[string]struct {
			tenant   string
			from, to int64
			want     []index.Entry
			scans    int
		}{
			"all":                    {"a", math.MinInt64, math.MaxInt64, a, 1},
			"exactly all":            {"a", first, last, a, 1},
			"without both ends":      {"a", first + 1, a[8].Time, a[1:8], 1},
			"of another":             {"a-", math.MinInt64, math.MaxInt64, entries(rows[4], 3), 1},
			"of nobody":              {"c", math.MinInt64, math.MaxInt64, nil, 1},
			"two hours":              {"a", rows[2].Start(), last, a[3:], 0},
			"over an edge":           {"a", a[4].Time, a[7].Time, a[4:7], 0},
			"nothing":                {"a", last, last, nil, 0},
			"from after to":          {"a", math.MaxInt64, math.MinInt64, nil, 0},
			"of the nameless tenant": {"", a[6].Time, a[8].Time, entries(rows[0], 2), 0},
		} {
			scans := transport.Inject(faulttest.Fault{Match: operation("Scan"), Pass: true})
			got, err := collect(t.Context(), x, c.tenant, c.from, c.to)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s: got %v and error %v, want %v", name, got, err, c.want)
			}
			if scans.Seen() != c.scans {
				t.Errorf("%s: %d scans, want %d", name, scans.Seen(), c.scans)
			}
			transport.Heal()
		}
	})
}

func TestEntriesEnd(t *testing.T) {
	t.Parallel()
	x, transport, _ := faulty(t, servertest.SharedDynalite(t), patient())
	rows := past(t, x)
	n := 0
	for _, err := range x.Entries(t.Context(), "a", math.MinInt64, math.MaxInt64) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 4 {
			break
		}
	}
	transport.Inject(faulttest.Fault{Match: operation("Query"), Times: 1, Pass: true})
	transport.Inject(faulttest.Fault{Match: operation("Query"), Status: 403, Body: "{}"})
	got, err := collect(t.Context(), x, "a", rows[2].Start(), rows[3].End())
	if err == nil || len(got) != 3 {
		t.Errorf("the second row's query fails: got %d entries and error %v, want 3 and one", len(got), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := collect(ctx, x, "a", math.MinInt64, math.MaxInt64); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: got error %v", err)
	}
}

// TestPagesOfRows looks through a table of more than 1 MB.
func TestPagesOfRows(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		x, transport, table := faulty(t, endpoint, patient())
		var want []index.Row
		var items []item
		for h := range int64(1500) {
			row := index.Row{Tenant: "t", Hour: 400000 + h}
			want = append(want, row)
			items = append(items, scopeItem(row, index.Entry{Time: row.Start() + h, Key: strings.Repeat("long ", 200)}))
		}
		writeAll(t, endpoint, table, items)
		scans := transport.Inject(faulttest.Fault{Match: operation("Scan"), Pass: true})
		got, err := x.Rows(t.Context())
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %d rows and error %v, want %d", len(got), err, len(want))
		}
		if scans.Seen() < 2 {
			t.Errorf("the table took %d request: it tests no pages", scans.Seen())
		}
	})
}

// TestForeignItemsInTheTable checks that items that are not entries change no answer.
func TestForeignItemsInTheTable(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		x, table := fresh(t, endpoint, nil)
		want := past(t, x)
		at := someRow.Start()
		for _, i := range []item{
			{"hour": text("something else"), "ts": number(1), "report": text("k")},
			{"hour": text("#settings"), "ts": number(at + 7), "report": text("k")},
			{"hour": text(someRow.Key() + "#2"), "ts": number(at + 7), "report": text("k")},
			{"hour": text("a-472222"), "ts": number(at + 7), "note": text("no report")},
			{"hour": text("z-472222"), "ts": number(at + 7), "note": text("no report")},
		} {
			write(t, endpoint, table, i)
		}
		if got, err := x.Rows(t.Context()); err != nil || !slices.Equal(got, want) {
			t.Errorf("rows: got %v and error %v, want %v", got, err, want)
		}
		for _, row := range want {
			expect(t, x, row, entries(row, 3))
		}
	})
}

// TestPartitionedTable checks that a table that is spread over partitions is refused by
// everything, and one that says it has one partition is not.
func TestPartitionedTable(t *testing.T) {
	t.Parallel()
	endpoint := servertest.SharedDynalite(t)
	x, table := fresh(t, endpoint, nil)
	write(t, endpoint, table, marker(4))
	e := entries(someRow, 1)
	set := index.PlaceSet{Tenant: "a", Level: time.Minute}
	_, query := x.Query(t.Context(), someRow, someRow.Start(), someRow.End())
	_, rows := x.Rows(t.Context())
	_, places := x.Places(t.Context(), set, 0, 1)
	_, swap := x.SwapPlace(t.Context(), set, "", index.Place{ID: "i"})
	for name, err := range map[string]error{
		"put": x.Put(t.Context(), someRow, e[0]), "query": query, "rows": rows, "places": places,
		"delete": x.Delete(t.Context(), someRow, e),
		"swap":   swap,
	} {
		if refusal, ok := errors.AsType[*dynamoindex.PartitionedError](err); !ok || refusal.Partitions != "4" || refusal.Table != table {
			t.Errorf("%s: got error %v, want a PartitionedError", name, err)
		}
	}
	write(t, endpoint, table, marker(1))
	put(t, x, someRow, e...)
	expect(t, x, someRow, e)
}

// TestTheMarkerIsReadOnce, and again as long as its reading fails.
func TestTheMarkerIsReadOnce(t *testing.T) {
	t.Parallel()
	endpoint := servertest.SharedDynalite(t)
	_, table := fresh(t, endpoint, nil)
	cfg, transport := faultyConfig(t, endpoint)
	x := openWith(t, cfg, table, patient())
	transport.Inject(faulttest.Fault{Match: operation("GetItem"), Times: 1, Status: 403, Body: `{"__type":"AccessDeniedException"}`})
	looks := transport.Inject(faulttest.Fault{Match: operation("GetItem"), Pass: true})
	if _, err := x.Rows(t.Context()); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("got error %v, want the refusal", err)
	}
	e := entries(someRow, 3)
	put(t, x, someRow, e...)
	expect(t, x, someRow, e)
	if looks.Seen() != 1 {
		t.Errorf("the marker was read %d times after it had failed, want once", looks.Seen())
	}
}

// TestRowsAreLive checks that a row is not listed when all its entries have expired.
func TestRowsAreLive(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		_, table := fresh(t, endpoint, nil)
		now := time.Unix(0, someRow.Start())
		opts := patient()
		opts.Retention, opts.Now = time.Hour, func() time.Time { return now }
		x := openIndex(t, endpoint, table, opts)
		put(t, x, someRow, entries(someRow, 2)...)
		now = now.Add(2 * time.Hour)
		if rows, err := x.Rows(t.Context()); err != nil || len(rows) > 0 {
			t.Errorf("got %v and error %v, want no row", rows, err)
		}
	})
}

// TestRowsOfAThrottledTable checks that a table that pays for pages over a long time is
// read for as long as that takes, and not longer than the caller wants.
func TestRowsOfAThrottledTable(t *testing.T) {
	t.Parallel()
	opts := patient()
	opts.Attempts = 1
	x, transport, _ := faulty(t, servertest.SharedDynalite(t), opts)
	want := past(t, x)
	slow := throttling
	slow.Match, slow.Times = operation("Scan"), 3
	scans := transport.Inject(slow)
	if got, err := x.Rows(t.Context()); err != nil || !slices.Equal(got, want) || scans.Hit() != 3 {
		t.Errorf("got %v and error %v after %d throttled scans, want %v after 3", got, err, scans.Hit(), want)
	}
	slow.Times = 0
	scans = transport.Inject(slow)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if got, err := x.Rows(ctx); !errors.Is(err, context.DeadlineExceeded) || got != nil {
		t.Errorf("got %v and error %v after %d throttled scans, want the context's", got, err, scans.Hit())
	}
}
