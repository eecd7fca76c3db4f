package wire_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"testing"

	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// seeds adds the small reports of the corpus, and what made trouble once.
func seeds(f *testing.F, from func(plain []byte) []byte) {
	f.Helper()
	for _, file := range goldentest.Files(f, "legacy/*.msgpack.gz") {
		f.Add(from(goldentest.Inflate(f, file)))
	}
	for _, data := range []string{
		"\x80", "\xc0", "\xdf\xff\xff\xff\xff", one("x", "\xc7\x00\x00"),
		one("Host", one("nodes", one("a;copy=b", "\x82"+fix("id")+fix("a")+fix("topology")+fix("b")))),
		one("Host", one("nodes", one("a;copy=", "\x80"))),
		one("Pod", one("nodes", "\x82"+fix("a")+"\x80"+fix("a;copy=z")+one("topology", fix("z")))),
		one("Pod", one("nodes", one("a", one("metrics", one("m", one("min", "\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00")))))),
		one("Pod", one("nodes", one("a", one("children", "\x92\x80"+one("children", "\x91\x80"))))),
		one("TS", fix("0001-01-01T00:00:00Z")),
	} {
		f.Add(from([]byte(data)))
	}
}

// asIs returns data, which is msgpack already.
func asIs(data []byte) []byte { return data }

func FuzzDecode(f *testing.F) {
	seeds(f, asIs)
	f.Fuzz(func(t *testing.T, data []byte) {
		var r *report.Report
		var err error
		takesLittle(t, "msgpack", data, func() { r, err = wire.DecodeMsgpack(data) })
		if err == nil {
			staysTheSame(t, r, wire.AppendMsgpack, wire.DecodeMsgpack)
			if _, err := wire.AppendJSON(nil, r); err != nil {
				t.Errorf("as JSON: %v", err)
			}
		}
	})
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"ID":1e400}`))
	f.Add([]byte(`{"Host":{"nodes":{"a":{"latest":{"k":{"timestamp":"2023-11-14T22:13:20.5+01:00","value":"\ud800"}}}}}}`))
	seeds(f, func(plain []byte) []byte {
		r, err := wire.DecodeMsgpack(plain)
		if err != nil {
			return plain
		}
		return []byte(text(r))
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		var r *report.Report
		var err error
		takesLittle(t, "JSON", data, func() { r, err = wire.DecodeJSON(data) })
		if err == nil {
			staysTheSame(t, r, wire.AppendJSON, wire.DecodeJSON)
			staysTheSame(t, r, wire.AppendMsgpack, wire.DecodeMsgpack)
		}
	})
}

func FuzzBlob(f *testing.F) {
	for _, file := range goldentest.Files(f, "legacy/*.msgpack.gz") {
		f.Add(goldentest.Read(f, file))
	}
	f.Fuzz(func(t *testing.T, blob []byte) {
		codec := wire.Codec{MaxBytes: 1 << 20}
		plain, err := wire.ReadBody(bytes.NewReader(blob), true, codec.MaxBytes)
		if err != nil {
			return
		}
		takesLittle(t, "a look at a blob", plain, func() { _, _ = codec.Examine(blob) })
		var r *report.Report
		takesLittle(t, "a blob", plain, func() { r, err = codec.Decode(blob) })
		if err == nil {
			staysTheSame(t, r, func(dst []byte, r *report.Report) ([]byte, error) {
				blob, err := codec.Encode(r)
				return append(dst, blob...), err
			}, codec.Decode)
		}
	})
}

// staysTheSame checks that a decoded report can be encoded, and is the same when
// it comes back.
func staysTheSame(t *testing.T, r *report.Report, encode func([]byte, *report.Report) ([]byte, error), decode func([]byte) (*report.Report, error)) {
	t.Helper()
	data, err := encode(nil, r)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	back, err := decode(data)
	if err != nil {
		t.Fatalf("decode again: %v", err)
	}
	if !reflect.DeepEqual(r, back) && !holdsNaN(r) {
		t.Fatalf("%q: %s, then %s", data, text(r), text(back))
	}
}

// holdsNaN tells whether a number of the report does not even equal itself.
func holdsNaN(r *report.Report) bool {
	data, err := wire.AppendMsgpack(nil, r)
	if err != nil {
		return false
	}
	for i := range data[:max(0, len(data)-8)] {
		if data[i] == 0xcb && math.IsNaN(math.Float64frombits(binary.BigEndian.Uint64(data[i+1:]))) {
			return true
		}
	}
	return false
}
