package local

import (
	"encoding/hex"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
)

// format1 returns a copy of a directory that the first format version wrote:
// three tenants with four values each, and one entry under a key of another
// form.
func format1(t *testing.T) string { return golden(t, "format1") }

// golden returns a copy of a directory in testdata.
func golden(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	files, err := os.ReadDir(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		bytes, err := os.ReadFile(filepath.Join("testdata", name, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name()), bytes, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// expectFormat1 fails unless the store holds what testdata/format1 holds, and
// for tenant acme also more.
func expectFormat1(t *testing.T, db *DB, more ...index.Entry) {
	t.Helper()
	for _, tenant := range []string{"", "a-", "acme"} {
		var want []index.Entry
		for _, at := range []int64{-5, 17e17, 17e17 + 3e9, 17e17 + 3601e9} {
			e := index.Entry{Time: at, Key: index.RowAt(tenant, at).BlobKey(at)}
			want = append(want, e)
			if got := blobOf(t, db, e.Key); string(got) != "blob of "+e.Key {
				t.Errorf("blob of %q at %d: got %q", tenant, at, got)
			}
		}
		if tenant == "acme" {
			want = slices.Insert(want, 1, index.Entry{Time: 7, Key: "another/form"})
			want = append(want, more...)
		}
		if got := entriesOf(t, db, tenant); !slices.Equal(got, want) {
			t.Errorf("tenant %q: got %v, want %v", tenant, got, want)
		}
	}
}

// TestFormat1 opens a directory of the first format version, answers from it as
// that version did, and takes entries with a size and a sum.
func TestFormat1(t *testing.T) {
	t.Parallel()
	dir := format1(t)
	db := openIn(t, dir, nil)
	expectFormat1(t, db)
	row, e, bytes := sample("acme", 17e17+7200e9, 300)
	e.Size, e.Sum = 300, blob.SumOf(bytes)
	if err := db.Commit(t.Context(), row, e, bytes); err != nil {
		t.Fatal(err)
	}
	set := index.PlaceSet{Tenant: "acme", Level: time.Minute}
	if ok, err := db.Index().SwapPlace(t.Context(), set, "", index.Place{Start: 60e9, ID: "i"}); !ok || err != nil {
		t.Error(ok, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "FORMAT")); string(text) != "timeblob local 2\n" {
		t.Errorf("FORMAT is %q, %v", text, err)
	}
	again := openIn(t, dir, nil)
	expectFormat1(t, again, e)
	if err := again.Index().Delete(t.Context(), row, []index.Entry{{Time: e.Time, Key: e.Key}}); err != nil {
		t.Error(err)
	}
	expectFormat1(t, again)
}

// expectTables fails unless the store holds what testdata/format1tables holds:
// values of 1200 and 3000 bytes in a value file, small ones in a table, and three
// more of acme in the log.
func expectTables(t *testing.T, db *DB) {
	t.Helper()
	check := func(tenant string, at int64, size int) {
		key := index.RowAt(tenant, at).BlobKey(at)
		if got := blobOf(t, db, key); string(got) != strings.Repeat(key, size/len(key))+"end" {
			t.Errorf("blob of %q at %d has %d bytes: %.60q", tenant, at, len(got), got)
		}
	}
	for i := range int64(4) {
		check("acme", 17e17+i*3e9, 1200)
		check("", 17e17+i*1800e9, 40)
		check("a-", 17e17+i*3e9, 3000)
	}
	for i := range int64(3) {
		check("acme", 17e17+3600e9+i*3e9, 1200)
	}
	for tenant, want := range map[string]int{"": 4, "a-": 4, "acme": 7} {
		if got := entriesOf(t, db, tenant); len(got) != want {
			t.Errorf("tenant %q: %d entries, want %d", tenant, len(got), want)
		}
	}
}

// TestFormat1Tables opens a directory with a value file, which this version does
// not write any more, takes new values, and brings the old ones into tables.
func TestFormat1Tables(t *testing.T) {
	t.Parallel()
	dir := golden(t, "format1tables")
	db := openIn(t, dir, nil)
	expectTables(t, db)
	commit(t, db, "new", 5, 2000)
	if err := db.engine.pebble.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.blob")); len(left) > 0 || err != nil {
		t.Errorf("value files are left: %v, %v", left, err)
	}
	again := openIn(t, dir, nil)
	expectTables(t, again)
	if got := len(entriesOf(t, again, "new")); got != 1 {
		t.Errorf("%d new entries", got)
	}
}

// TestLostValueFile checks that a value file that goes, or is cut, while the store is open
// fails the reads of its values and nothing else.
func TestLostValueFile(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(file string) error{
		"Missing": os.Remove,
		"Cut":     func(file string) error { return os.Truncate(file, 8000) },
		"Empty":   func(file string) error { return os.Truncate(file, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := golden(t, "format1tables")
			e := idleEngine(t, dir)
			if err := harm(filepath.Join(dir, "000006.blob")); err != nil {
				t.Fatal(err)
			}
			lost, kept := index.RowAt("acme", 17e17).BlobKey(17e17), index.RowAt("", 17e17).BlobKey(17e17)
			for _, keys := range [][]string{{lost}, {lost, kept}} {
				blobs := make([][]byte, len(keys))
				_, err := e.blobsOf(t.Context(), keys, blobs)
				if err == nil || strings.Contains(err.Error(), lost) != (len(keys) > 1) || blobs[0] != nil {
					t.Errorf("got %q and error %v", blobs[0], err)
				}
				if len(blobs) > 1 && blobs[1] == nil {
					t.Error("the value beside it was not answered")
				}
			}
			_ = e.close() // Pebble may say that a file is in use: it must not panic
		})
	}
}

// idleEngine opens a directory and lets Pebble do nothing by itself.
func idleEngine(t *testing.T, dir string) *engine {
	t.Helper()
	opts, err := (&Options{Logger: slog.New(slog.DiscardHandler)}).filled()
	if err != nil {
		t.Fatal(err)
	}
	fuse := newFuse(dir, &opts)
	o := pebbleOptions(nil, &opts, fuse)
	o.DisableAutomaticCompactions = true
	db, err := pebble.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return &engine{pebble: db, fuse: fuse}
}

// noRename is a file system on which the format version cannot be raised.
type noRename struct{ vfs.FS }

func (f noRename) Rename(from, to string) error {
	if filepath.Base(to) == "FORMAT" {
		return fs.ErrPermission
	}
	return f.FS.Rename(from, to)
}

// TestFormatStays checks that where the version cannot be raised the directory takes
// entries that its own version reads.
func TestFormatStays(t *testing.T) {
	t.Parallel()
	dir := format1(t)
	db := openIn(t, dir, &Options{FS: noRename{vfs.Default}})
	row, e, bytes := sample("acme", 17e17+7200e9, 300)
	known := e
	known.Size, known.Sum = 300, blob.SumOf(bytes)
	if err := db.Commit(t.Context(), row, known, bytes); err != nil {
		t.Fatal(err)
	}
	expectFormat1(t, db, e)
	if text, err := os.ReadFile(filepath.Join(dir, "FORMAT")); string(text) != "timeblob local 1\n" {
		t.Errorf("FORMAT is %q, %v", text, err)
	}
}

// TestGoldenValues holds the values of entries and places, and the keys of
// places, to their bytes.
func TestGoldenValues(t *testing.T) {
	t.Parallel()
	db := &DB{format: formatVersion}
	sum := blob.Sum{1, 2, 3, 15: 16}
	for want, e := range map[string]index.Entry{
		"6b": {Key: "k"},
		"ff01ac02" + strings.Repeat("00", 16) + "6b":             {Key: "k", Size: 300},
		"ff0100" + "01020300000000000000000000000010" + "6b6579": {Key: "key", Sum: sum},
		"ff01ac02" + "01020300000000000000000000000010" + "6b":   {Key: "k", Size: 300, Sum: sum},
	} {
		value := db.entryValue(e)
		if got := hex.EncodeToString(value); got != want {
			t.Errorf("value of %v: got %s, want %s", e, got, want)
		}
		if got, err := parseEntryValue(0, value); got != e || err != nil {
			t.Errorf("value %s is read as %v, %v, want %v", want, got, err, e)
		}
	}
	minute := index.PlaceSet{Tenant: "a-", Level: time.Minute}
	for want, key := range map[string][]byte{
		"04" + "8000000df8475800" + "8000000000000000" + "02612d" + "800000029e411540": placeKey(minute, 11e9+245e6),
		"04" + "8000000df8475800" + "7fffffffffffffff" + "02612d" + "7fffffffffffffff": placeKey(minute, -1),
		"04" + "8000000000000000" + "8000000000000000" + "00" + "8000000000000000":     placeKey(index.PlaceSet{}, 0),
		"04" + "ffffffffffffffff" + "8000000000000000" + "00" + "8000000000000005":     placeKey(index.PlaceSet{Level: math.MaxInt64}, 5),
		"026964" + "0a" + "7374617465": placeValue(index.Place{ID: "id", Expires: 5, State: []byte("state")}),
	} {
		if got := hex.EncodeToString(key); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestBlocks checks that places of many tenants and blocks are found, and places of others are not.
func TestBlocks(t *testing.T) {
	t.Parallel()
	x := openMem(t).Index()
	for block := range int64(5) {
		for _, tenant := range []string{"", "a", "aa", "b", "c"} {
			for i := range int64(3) {
				start := (block*spansOfBlock*2 + i*31) * int64(time.Second) // every other block is empty
				set := index.PlaceSet{Tenant: tenant, Level: time.Second}
				next := index.Place{Start: start, ID: tenant + strconv.FormatInt(start, 10)}
				if ok, err := x.SwapPlace(t.Context(), set, "", next); !ok || err != nil {
					t.Fatal(ok, err)
				}
			}
		}
	}
	for tenant, want := range map[string]int{"": 15, "a": 15, "aa": 15, "ab": 0, "c": 15, "d": 0} {
		got, err := x.Places(t.Context(), index.PlaceSet{Tenant: tenant, Level: time.Second}, math.MinInt64, math.MaxInt64)
		if len(got) != want || err != nil {
			t.Errorf("tenant %q: %d places and error %v, want %d", tenant, len(got), err, want)
		}
		for _, p := range got {
			if p.ID != tenant+strconv.FormatInt(p.Start, 10) {
				t.Errorf("tenant %q: place %q", tenant, p.ID)
			}
		}
	}
}

func FuzzParseEntryValue(f *testing.F) {
	db := &DB{format: formatVersion}
	f.Add([]byte("key"))
	f.Add([]byte{valueMark, valueVersion})
	f.Add(db.entryValue(index.Entry{Key: "k", Size: 1 << 40, Sum: blob.SumOf(nil)}))
	f.Fuzz(func(t *testing.T, value []byte) {
		e, err := parseEntryValue(5, value)
		if err != nil {
			return
		}
		if again, err := parseEntryValue(5, db.entryValue(e)); err != nil || again != e {
			if len(e.Key) == 0 || e.Key[0] != valueMark { // no blob's key begins so
				t.Errorf("%x is read as %v, and that as %v, %v", value, e, again, err)
			}
		}
	})
}
