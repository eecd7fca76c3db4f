package index

import (
	"errors"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// bigFloor divides as a person would, for numbers of any size.
func bigFloor(t, unit int64) int64 {
	return new(big.Int).Div(big.NewInt(t), big.NewInt(unit)).Int64() // Euclidean: rounds down, as unit > 0
}

// anyInstant favours the ends of hours, of quanta and of time.
func anyInstant() *rapid.Generator[int64] {
	near := func(point int64) *rapid.Generator[int64] {
		return rapid.Map(rapid.Int64Range(-3, 3), func(d int64) int64 {
			if d > 0 && point > math.MaxInt64-d || d < 0 && point < math.MinInt64-d {
				return point
			}
			return point + d
		})
	}
	return rapid.OneOf(rapid.Int64(), near(math.MinInt64), near(math.MaxInt64), near(0), near(472222*hour), near(-hour),
		near(math.MinInt64/hour*hour), near(math.MaxInt64/hour*hour))
}

func TestFloor(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		instant, unit := anyInstant().Draw(t, "t"), rapid.Int64Range(1, math.MaxInt64).Draw(t, "unit")
		if got, want := Floor(instant, unit), bigFloor(instant, unit); got != want {
			t.Fatalf("Floor(%d, %d) = %d, want %d", instant, unit, got, want)
		}
	})
}

func TestRowHoldsItsInstants(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		instant := anyInstant().Draw(t, "t")
		row := RowAt("a", instant)
		if row.Hour != bigFloor(instant, hour) {
			t.Fatalf("RowAt(%d).Hour = %d, want %d", instant, row.Hour, bigFloor(instant, hour))
		}
		if instant < row.Start() || instant >= row.End() && instant != math.MaxInt64 {
			t.Fatalf("row %d is from %d to %d and does not hold %d", row.Hour, row.Start(), row.End(), instant)
		}
		if RowAt("a", row.Start()) != row || RowAt("a", row.End()-1) != row {
			t.Fatalf("row %d: its first or last instant is in another", row.Hour)
		}
	})
}

func TestRowEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ hour, start, end int64 }{
		{0, 0, hour},
		{-1, -hour, 0},
		{1, hour, 2 * hour},
		{-2562048, math.MinInt64, -2562047 * hour},
		{2562047, 2562047 * hour, math.MaxInt64},
	} {
		row := Row{Hour: c.hour}
		if row.Start() != c.start || row.End() != c.end {
			t.Errorf("hour %d: from %d to %d, want %d to %d", c.hour, row.Start(), row.End(), c.start, c.end)
		}
	}
}

func TestRows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from, to int64
		want     []int64
	}{
		"empty":             {5, 5, nil},
		"inverted":          {6, 5, nil},
		"one nanosecond":    {hour, hour + 1, []int64{1}},
		"exactly an hour":   {hour, 2 * hour, []int64{1}},
		"an hour and a bit": {hour, 2*hour + 1, []int64{1, 2}},
		"across the epoch":  {-1, 1, []int64{-1, 0}},
		"up to the epoch":   {-1, 0, []int64{-1}},
		"three":             {2*hour - 1, 3*hour + 1, []int64{1, 2, 3}},
		"the first of time": {math.MinInt64, math.MinInt64 + 1, []int64{-2562048}},
		"the last of time":  {math.MaxInt64 - 1, math.MaxInt64, []int64{2562047}},
		"inverted, far":     {math.MaxInt64, math.MinInt64, nil},
	} {
		var got []int64
		for row := range Rows("a", c.from, c.to) {
			got = append(got, row.Hour)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: rows of [%d, %d): hours %v, want %v", name, c.from, c.to, got, c.want)
		}
	}
}

func TestRowsStopWhenTold(t *testing.T) {
	t.Parallel()
	n := 0
	for range Rows("a", math.MinInt64, math.MaxInt64) {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
}

// TestKeysAreScopes holds the layout that stored data depends on.
func TestKeysAreScopes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tenant  string
		instant int64
		row     string
		blob    string
	}{
		// Digests made with md5sum(1).
		{"", 1700000000123456789, "-472222", "c52413dac7c6775f060ae211a1b88588/1700000000123456789"},
		{"acme", 1715947200000000000, "acme-476652", "0a5896cc7263a486506952da94deb8dc/1715947200000000000"},
		{"a", -1, "a--1", "77847c93ea2e3606ce0ad4cccd3d8437/-1"},
	} {
		row := RowAt(c.tenant, c.instant)
		if row.Key() != c.row || row.BlobKey(c.instant) != c.blob {
			t.Errorf("tenant %q, instant %d: keys %s and %s, want %s and %s",
				c.tenant, c.instant, row.Key(), row.BlobKey(c.instant), c.row, c.blob)
		}
	}
}

func TestParseRow(t *testing.T) {
	t.Parallel()
	for _, row := range []Row{{"", 0}, {"", -5}, {"a", -5}, {"a-", 5}, {"-", 7}, {"a-472222", 472222}, {"a", 472222}} {
		got, err := ParseRow(row.Key(), row.Start())
		if err != nil || got != row {
			t.Errorf("ParseRow(%q, %d) = %+v, %v; want %+v", row.Key(), row.Start(), got, err, row)
		}
	}
	for _, key := range []string{"", "a", "a-1", "a-472223", "472222", "a-472222 ", "a-0472222"} {
		if got, err := ParseRow(key, 472222*hour); err == nil {
			t.Errorf("ParseRow(%q) = %+v, want an error", key, got)
		}
	}
}

func TestParseBlobKey(t *testing.T) {
	t.Parallel()
	for _, instant := range []int64{0, -1, 1700000000123456789, math.MinInt64, math.MaxInt64} {
		got, err := ParseBlobKey(RowAt("a", instant).BlobKey(instant))
		if err != nil || got != instant {
			t.Errorf("instant %d came back as %d, %v", instant, got, err)
		}
	}
	sum := strings.Repeat("0a", 16)
	for _, key := range []string{"", "/", sum, sum + "/", "/1", sum + "0/1", sum[1:] + "/1", strings.ToUpper(sum) + "/1",
		sum[:31] + "g/1", sum[:15] + "g" + sum[:16] + "/1", sum + "/+1", sum + "/01", sum + "/-0", sum + "/1 ", sum + "/1/2",
		sum + "/9223372036854775808", sum + "/0x1", sum + "/1_0"} {
		if got, err := ParseBlobKey(key); err == nil {
			t.Errorf("ParseBlobKey(%q) = %d, want an error", key, got)
		}
	}
}

func TestCheckTenant(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "a", "A-b_c.9", "x-472222", strings.Repeat("z", 64)} {
		if err := CheckTenant(id); err != nil {
			t.Errorf("CheckTenant(%q): %v", id, err)
		}
	}
	for _, id := range []string{">", "*", "a b", "a\n", "a/b", "ü", "\x00", strings.Repeat("z", 65), strings.Repeat("é", 5000)} {
		err := CheckTenant(id)
		if refused, ok := errors.AsType[*TenantError](err); !ok || refused.Tenant != id {
			t.Errorf("CheckTenant(%.20q): got %v, want a TenantError that names it", id, err)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("CheckTenant(%.20q): a message of %d bytes", id, len(err.Error()))
		}
	}
}

func FuzzParseRow(f *testing.F) {
	for _, row := range []Row{{"", 0}, {"a", -5}, {"a-", 5}, {"acme", 476652}} {
		f.Add(row.Key(), row.Start())
	}
	f.Add("a-5", int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, key string, instant int64) {
		row, err := ParseRow(key, instant)
		if err != nil {
			return
		}
		if row.Key() != key || RowAt(row.Tenant, instant) != row {
			t.Errorf("ParseRow(%q, %d) = %+v, of which the key is %q", key, instant, row, row.Key())
		}
	})
}

func FuzzParseBlobKey(f *testing.F) {
	for _, t := range []int64{0, -1, 1715947200000000000, math.MinInt64} {
		f.Add(RowAt("acme", t).BlobKey(t))
		f.Add(RowAt("acme", t).FreshBlobKey(t, "R4ND0M"))
	}
	f.Add("/")
	f.Fuzz(func(t *testing.T, key string) {
		instant, err := ParseBlobKey(key)
		if err != nil {
			return
		}
		again := RowAt("a", instant).BlobKey(instant)[32:]
		nonce, fresh := strings.CutPrefix(key[32:], again+"-")
		if key[32:] != again && (!fresh || nonce == "" || len(nonce) > maxNonce) {
			t.Errorf("ParseBlobKey(%q) = %d, which writes %q", key, instant, again)
		}
	})
}

func FuzzRows(f *testing.F) {
	f.Add(int64(0), int64(1))
	f.Add(int64(-1), int64(time.Hour)+1)
	f.Add(int64(math.MinInt64), int64(math.MinInt64)+1)
	f.Add(int64(math.MaxInt64)-1, int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, from, to int64) {
		reached, n := from, 0
		for row := range Rows("a", from, to) {
			if reached < row.Start() || reached >= row.End() {
				t.Fatalf("[%d, %d): row %d does not hold %d", from, to, row.Hour, reached)
			}
			reached = min(to, row.End())
			if n++; n == 1000 {
				return
			}
		}
		if from < to && reached != to {
			t.Errorf("[%d, %d): the rows end at %d", from, to, reached)
		}
	})
}

// TestRollUpKey holds a key of the frozen form.
func TestRollUpKey(t *testing.T) {
	t.Parallel()
	const start = 1_700_000_040_000_000_000
	got := RollUpKey("acme", time.Minute, start, "CLAIM")
	if want := "rollup/60/01b00ef0afd542a2e90d543c84945e00/1700000040000000000-CLAIM"; got != want {
		t.Errorf("key %q, want %q", got, want)
	}
	if _, err := ParseBlobKey(got); err == nil {
		t.Error("the key of a roll-up is taken for that of an entry's blob")
	}
}
