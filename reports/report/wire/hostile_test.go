package wire_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/timeblob/timeblob/internal/alloctest"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

var farFuture = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)

func gzipped(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	if _, err := zw.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func isTooLarge(t *testing.T, limit int64, f func() error) {
	t.Helper()
	var tooLarge *wire.TooLargeError
	if err := f(); !errors.As(err, &tooLarge) || tooLarge.Limit != limit {
		t.Errorf("%v, want a TooLargeError of %d bytes", err, limit)
	}
}

// fix returns a short string in msgpack.
func fix(s string) string { return string([]byte{0xa0 | byte(len(s))}) + s }

// one returns a map of one key in msgpack.
func one(key, value string) string { return "\x81" + fix(key) + value }

// padded returns a map of one key with n bytes more in a field that nobody
// knows, so that it may take more memory.
func padded(data string, n int) string {
	size := binary.BigEndian.AppendUint32([]byte{0xdb}, uint32(n))
	return "\x82" + data[1:] + fix("padding") + string(size) + strings.Repeat("x", n)
}

func TestErrorsSayWhereAndWhat(t *testing.T) {
	t.Parallel()
	node := func(field, value string) string {
		return one("Endpoint", one("nodes", one("a;b", one(field, value))))
	}
	for _, c := range []struct {
		name, data, path string
		want             error
	}{
		{"empty", "", "", wire.ErrTruncated},
		{"nil", "\xc0", "", wire.ErrCorrupt},
		{"an array", "\x90", "", wire.ErrCorrupt},
		{"trailing bytes", "\x80\x00", "", wire.ErrTrailing},
		{"a reserved byte", one("x", "\xc1"), "x", wire.ErrCorrupt},
		{"a number for a text", one("ID", "\x01"), "ID", wire.ErrCorrupt},
		{"a text for a number", one("Window", fix("3")), "Window", wire.ErrCorrupt},
		{"a fraction for an integer", one("Window", "\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"), "Window", wire.ErrCorrupt},
		{"a negative count", one("Sampling", one("Count", "\xff")), "Sampling.Count", wire.ErrCorrupt},
		{"a time of no form", one("TS", fix("yesterday")), "TS", wire.ErrCorrupt},
		{"a time of many nanoseconds", one("TS", fix("\x01\x00\x00\x00\x0e\xdc\xe5\xe8\x00\x7f\xff\xff\xff\xff\xff")), "TS", wire.ErrCorrupt},
		{"a time of a far year", one("TS", fix("\x01\x7f\x00\x00\x0e\xdc\xe5\xe8\x00\x00\x00\x00\x00\xff\xff")), "TS", wire.ErrCorrupt},
		{"a time before the year 0", one("TS", fix("\x01\x80\x00\x00\x0e\xdc\xe5\xe8\x00\x00\x00\x00\x00\xff\xff")), "TS", wire.ErrCorrupt},
		{"an entry cut short", node("latest", one("k", "\x81\xa5va")), `Endpoint.nodes["a;b"].latest["k"]`, wire.ErrTruncated},
		{"an entry of no form", node("latest", one("k", one("value", "\xc3"))), `Endpoint.nodes["a;b"].latest["k"].value`, wire.ErrCorrupt},
		{"an element of no form", node("adjacency", "\x92"+fix("x")+"\x02"), `Endpoint.nodes["a;b"].adjacency[1]`, wire.ErrCorrupt},
		{"a child of no form", node("children", "\x92\x80\x02"), `Endpoint.nodes["a;b"].children[1]`, wire.ErrCorrupt},
		{"a sample of no form", node("metrics", one("m", one("samples", "\x91"+one("date", "\xc2")))), `Endpoint.nodes["a;b"].metrics["m"].samples[0].date`, wire.ErrCorrupt},
		{"an unknown field cut short", one("x", "\x92\x01"), "x", wire.ErrTruncated},
		{"a huge map", one("Endpoint", one("nodes", "\xdf\xff\xff\xff\xff")), "Endpoint.nodes", wire.ErrTruncated},
		{"a huge array", node("children", "\xdd\xff\xff\xff\xff"), `Endpoint.nodes["a;b"].children`, wire.ErrTruncated},
		{"a huge text", one("ID", "\xdb\xff\xff\xff\xff"), "ID", wire.ErrTruncated},
		{"a field of odd bytes", one("a\n\"", "\xc1"), `a\n\"`, wire.ErrCorrupt},
		{"a huge unknown map", one("x", "\xdf\xff\xff\xff\xff"), "x", wire.ErrTruncated},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, err := wire.DecodeMsgpack([]byte(c.data))
			var syntax *wire.SyntaxError
			if r != nil || !errors.Is(err, c.want) || !errors.As(err, &syntax) {
				t.Fatalf("%v, %v, want %v", r, err, c.want)
			}
			if syntax.Path != c.path || !strings.Contains(err.Error(), c.path) {
				t.Errorf("path %q in %q, want %q", syntax.Path, err, c.path)
			}
		})
	}
}

func TestErrorsAreShort(t *testing.T) {
	t.Parallel()
	for _, digits := range []string{"9", "1e"} {
		_, err := wire.DecodeJSON([]byte(`{"x":` + digits + strings.Repeat("9", 1000) + `}`))
		if !errors.Is(err, wire.ErrCorrupt) || len(err.Error()) > 200 {
			t.Errorf("%.300v, want a short ErrCorrupt", err)
		}
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	t.Parallel()
	for _, file := range goldentest.Files(t, "legacy/*.msgpack.gz") {
		plain, blob := goldentest.Inflate(t, file), goldentest.Read(t, file)
		for n := range plain {
			if _, err := wire.DecodeMsgpack(plain[:n]); !errors.Is(err, wire.ErrTruncated) {
				t.Errorf("%s: the first %d of %d bytes: %v", file, n, len(plain), err)
			}
		}
		for n := range blob {
			if _, err := (wire.Codec{}).Decode(blob[:n]); !errors.Is(err, wire.ErrTruncated) {
				t.Errorf("%s: the first %d of %d compressed bytes: %v", file, n, len(blob), err)
			}
		}
	}
}

func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"unknown arrays": one("x", strings.Repeat("\x91", 1<<20)),
		"unknown maps":   one("x", strings.Repeat("\x81\x01", 1<<20)),
		"children":       one("Host", one("nodes", one("n", strings.Repeat("\x81\xa8children\x91", 1<<16)))),
		"one too many":   one("x", strings.Repeat("\x91", 63)+"\x90"),
	} {
		if _, err := wire.DecodeMsgpack([]byte(data)); !errors.Is(err, wire.ErrCorrupt) || !strings.Contains(err.Error(), "nested") {
			t.Errorf("%s: %.200v", name, err)
		}
	}
	if _, err := wire.DecodeMsgpack([]byte(one("x", strings.Repeat("\x91", 62)+"\x90"))); err != nil {
		t.Errorf("64 deep: %v", err)
	}
	if _, err := wire.DecodeJSON([]byte(strings.Repeat(`{"a":`, 1<<20))); !errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("JSON: %v", err)
	}
}

// Not parallel: it watches what is allocated.
func TestMemoryIsProportionalToTheInput(t *testing.T) {
	claim := "\xdf\x00\x00\x40\x00" // a map of 16384 keys
	nested := one("Host", one("nodes", claim+fix("n")+"\x81\xa8children\xdd\x00\x00\x40\x00"+strings.Repeat("\x81\xa8children\xdd\x00\x00\x40\x00", 20)))
	var minimal strings.Builder
	for i := range 16384 {
		minimal.WriteString(string([]byte{0xa3, byte(i >> 14), byte(i >> 7 & 0x7f), byte(i & 0x7f)}) + "\xc0")
	}
	for name, data := range map[string]string{
		"huge claims":   one("Endpoint", one("nodes", "\xdf\x7f\xff\xff\xff")),
		"nested claims": nested + strings.Repeat("\xc0", 40_000),
		"minimal nodes": one("Endpoint", one("nodes", claim+minimal.String())),
		"minimal DNS":   one("DNS", claim+minimal.String()),
	} {
		var err error
		got := alloctest.Bytes(func() { _, err = wire.DecodeMsgpack([]byte(data)) })
		if limit := int64(len(data))*16 + 256<<10; got > limit {
			t.Errorf("%s: %d bytes allocated for %d of input (%v)", name, got, len(data), err)
		}
	}
	bomb := gzipped(t, make([]byte, 1<<20))
	copy(bomb[len(bomb)-4:], "\xff\xff\xff\x03") // it claims to be 64 MiB
	got := alloctest.Bytes(func() { _, _ = wire.Codec{}.Decode(bomb) })
	if got > 4<<20 {
		t.Errorf("%d bytes allocated for a blob that lies about its size", got)
	}
}

// TestLargeReportsAreMostlyContent checks that many bytes of empty values are no
// licence for many times as many bytes of memory.
func TestLargeReportsAreMostlyContent(t *testing.T) {
	t.Parallel()
	list := "\xdd\x01\x00\x00\x00" + strings.Repeat("\x80", 1<<24)
	data := []byte(one("Host", one("nodes", one("h", one("metrics", one("m", one("samples", list)))))))
	isTooLarge(t, 64<<10+7*int64(len(data)), func() error {
		_, err := wire.DecodeMsgpack(data)
		return err
	})
}

// manyKeys returns reports whose n nodes come in descending order of their keys.
func manyKeys(n int) map[string][]byte {
	var nodes, copies, text strings.Builder
	for i := n; i > 0; i-- {
		fmt.Fprintf(&nodes, "\xa6%06d\x81\xa2id\xa6%06d", i, i)
		fmt.Fprintf(&copies, "\xadx;copy=%06d\x82\xa2id\xa1x\xa8topology\xa6%06d", i, i)
		fmt.Fprintf(&text, `"%06d":{},`, i)
	}
	header := "\xdf" + string([]byte{0, byte(n >> 16), byte(n >> 8), byte(n)})
	return map[string][]byte{
		"nodes":  []byte(padded(one("Endpoint", one("nodes", header+nodes.String())), 32*n)),
		"copies": []byte(padded(one("Endpoint", one("nodes", header+copies.String())), 32*n)),
		"JSON":   []byte(`{"Endpoint":{"nodes":{` + strings.TrimSuffix(text.String(), ",") + `}},"x":"` + strings.Repeat("x", 32*n) + `"}`),
	}
}

// tripTime returns how long it takes to decode and encode the nodes.
func tripTime(t *testing.T, decode func([]byte) (*report.Report, error), data []byte, n int) time.Duration {
	t.Helper()
	start := time.Now()
	r, err := decode(data)
	if err != nil || len(r.Topologies[report.Endpoint].Nodes) != n {
		t.Fatalf("%d nodes: %v", n, err)
	}
	if _, err := wire.AppendMsgpack(nil, r); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

// TestManyKeysDoNotTakeQuadraticTime compares 16 times as many keys: 16 times
// as long if linear, 256 if quadratic. A busy machine can make any one trip
// long; it fails only when all are.
func TestManyKeysDoNotTakeQuadraticTime(t *testing.T) {
	const few, many, tries = 5_000, 80_000, 10
	small, large := manyKeys(few), manyKeys(many)
	for name, decode := range map[string]func([]byte) (*report.Report, error){
		"nodes": wire.DecodeMsgpack, "copies": wire.DecodeMsgpack, "JSON": wire.DecodeJSON,
	} {
		a, b := time.Hour, time.Hour
		for range tries {
			a = min(a, tripTime(t, decode, small[name], few))
			b = min(b, tripTime(t, decode, large[name], many))
			if b/a <= 160 {
				break
			}
		}
		if b/a > 160 {
			t.Errorf("%s: %v for %d keys, but %v for %d", name, a, few, b, many)
		}
	}
}

func TestOfEqualKeysTheLastCounts(t *testing.T) {
	t.Parallel()
	value := func(v string) string { return fix("k") + one("value", fix(v)) }
	twice := one("Host", one("nodes", "\x82"+fix("n")+one("latest", "\x81"+value("0"))+fix("n")+one("latest", "\x83"+value("1")+value("3")+value("2"))))
	r, err := wire.DecodeMsgpack([]byte(twice))
	if err != nil {
		t.Fatal(err)
	}
	nodes := r.Topologies[report.Host].Nodes
	if len(nodes) != 1 || nodes[0].Latest.Len() != 1 || nodes[0].Latest.At(0).Value != "2" {
		t.Errorf("%s", text(r))
	}
}

func TestBodiesThatAreNotWhatTheySay(t *testing.T) {
	t.Parallel()
	plain := []byte(strings.Repeat("0123456789", 10_000))
	good := gzipped(t, plain)
	badSum := bytes.Clone(good)
	badSum[len(badSum)-5] ^= 1
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		body io.Reader
		gzip bool
		want error
	}{
		{"good", bytes.NewReader(good), true, nil},
		{"byte by byte", iotest.OneByteReader(bytes.NewReader(good)), true, nil},
		{"two members", bytes.NewReader(append(gzipped(t, plain[:7]), gzipped(t, plain[7:])...)), true, nil},
		{"plain", bytes.NewReader(plain), false, nil},
		{"empty", strings.NewReader(""), true, wire.ErrTruncated},
		{"cut short", bytes.NewReader(good[:len(good)-9]), true, wire.ErrTruncated},
		{"without its checksum", bytes.NewReader(good[:len(good)-1]), true, wire.ErrTruncated},
		{"of another checksum", bytes.NewReader(badSum), true, wire.ErrChecksum},
		{"with a tail", io.MultiReader(bytes.NewReader(good), strings.NewReader("x")), true, wire.ErrTrailing},
		{"with half a member", bytes.NewReader(append(bytes.Clone(good), good[:5]...)), true, wire.ErrTruncated},
		{"not gzip", bytes.NewReader(plain), true, wire.ErrCorrupt},
		{"not deflate", bytes.NewReader(append(bytes.Clone(good[:10]), 0xff, 0xff, 0xff)), true, wire.ErrCorrupt},
		{"a broken reader", iotest.ErrReader(broken), false, broken},
		{"a reader that breaks", io.MultiReader(bytes.NewReader(good[:20]), iotest.ErrReader(broken)), true, broken},
	} {
		got, err := wire.ReadBody(c.body, c.gzip, int64(len(plain)))
		if !errors.Is(err, c.want) || c.want == nil && (err != nil || !bytes.Equal(got, plain)) {
			t.Errorf("%s: %d bytes, %v, want %v", c.name, len(got), err, c.want)
		}
	}
	for _, zipped := range []bool{true, false} {
		body := map[bool][]byte{true: good, false: plain}[zipped]
		isTooLarge(t, int64(len(plain)-1), func() error {
			_, err := wire.ReadBody(bytes.NewReader(body), zipped, int64(len(plain)-1))
			return err
		})
	}
	isTooLarge(t, 99_999, func() error {
		_, err := wire.Codec{MaxBytes: 99_999}.Decode(good)
		return err
	})
}
