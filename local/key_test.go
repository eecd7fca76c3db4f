package local

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"math"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/index"
)

// TestGoldenKeys holds the layout to its bytes: stores exist that have them.
func TestGoldenKeys(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		row  index.Row
		time int64
		want string
	}{
		{index.Row{}, 0, "01" + "8000000000000000" + "00" + "8000000000000000"},
		{index.Row{Tenant: "a-", Hour: 472222}, 1_700_000_000e9, "01" + "800000000007349e" + "02" + "612d" + "97979cfe362a0000"},
		{index.Row{Tenant: "a", Hour: -1}, -1, "01" + "7fffffffffffffff" + "01" + "61" + "7fffffffffffffff"},
		{index.Row{Tenant: "\x00", Hour: math.MinInt64}, math.MaxInt64, "01" + "0000000000000000" + "01" + "00" + "ffffffffffffffff"},
	} {
		key, err := entryKey(test.row, test.time)
		if got := hex.EncodeToString(key); got != test.want || err != nil {
			t.Errorf("entry key of %v at %d: got %s, %v, want %s", test.row, test.time, got, err, test.want)
		}
	}
	for name, want := range map[string]string{
		"0123456789abcdef0123456789abcdef/1700000000000000000": "02" + "800000000007349e",
		"0123456789abcdef0123456789abcdef/-1":                  "02" + "7fffffffffffffff",
		"0123456789abcdef0123456789abcdef/01":                  "03",
		"of another shape":                                     "03",
		"":                                                     "03",
	} {
		if got := hex.EncodeToString(blobKey(name)); got != want+hex.EncodeToString([]byte(name)) {
			t.Errorf("blob key of %q: got %s, want %s and the name", name, got, want)
		}
	}
}

// TestGoldenFormat holds the format file to its bytes.
func TestGoldenFormat(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	openIn(t, "data", &Options{FS: mem})
	if text, err := readFile(mem, "data/FORMAT"); text != "timeblob local 2\n" || err != nil {
		t.Errorf("FORMAT is %q, %v", text, err)
	}
}

func drawRow(t *rapid.T) (index.Row, int64) {
	tenant := rapid.SampledFrom([]string{"", "a", "a-", "b", "ab", "\x00", "\xff", strings.Repeat("z", 255)})
	number := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-2, 2))
	return index.Row{Tenant: tenant.Draw(t, "tenant"), Hour: number.Draw(t, "hour")}, number.Draw(t, "time")
}

// TestEntryKeys checks that keys read back, order by hour first and, within a row, by
// instant, and no row's keys are among another's.
func TestEntryKeys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rowA, timeA := drawRow(t)
		rowB, timeB := drawRow(t)
		a, _ := entryKey(rowA, timeA)
		b, _ := entryKey(rowB, timeB)
		if row, at, err := parseEntryKey(a); row != rowA || at != timeA || err != nil {
			t.Fatalf("%v at %d is read as %v at %d, %v", rowA, timeA, row, at, err)
		}
		got, want := bytes.Compare(a, b), cmp.Compare(rowA.Hour, rowB.Hour)
		if rowA == rowB {
			want = cmp.Compare(timeA, timeB)
		}
		if (want != 0 || rowA == rowB) && got != want {
			t.Fatalf("keys of %v at %d and %v at %d compare as %d, want %d", rowA, timeA, rowB, timeB, got, want)
		}
		prefix, _ := rowKey(rowA)
		if within := bytes.HasPrefix(b, prefix) && bytes.Compare(b, after(prefix)) < 0; within != (rowA == rowB) {
			t.Fatalf("key of %v is among those of %v: %v", rowB, rowA, within)
		}
	})
}

func TestLongTenant(t *testing.T) {
	t.Parallel()
	db := openMem(t)
	commit(t, db, strings.Repeat("t", 255), 1, 1)
	row, e, blob := sample(strings.Repeat("t", 256), 1, 1)
	_, err := db.Index().Query(t.Context(), row, 0, 2)
	for _, err := range []error{err, db.Index().Put(t.Context(), row, e), db.Commit(t.Context(), row, e, blob)} {
		if err == nil || !strings.Contains(err.Error(), "longer than 255 bytes") {
			t.Errorf("got error %v", err)
		}
	}
}

func FuzzParseEntryKey(f *testing.F) {
	f.Add([]byte{entrySpace})
	f.Add(hourKey(entrySpace, 1))
	f.Fuzz(func(t *testing.T, key []byte) {
		row, at, err := parseEntryKey(key)
		if err != nil {
			return
		}
		if again, _ := entryKey(row, at); !bytes.Equal(again, key) {
			t.Errorf("%x is read as %v at %d, whose key is %x", key, row, at, again)
		}
	})
}
