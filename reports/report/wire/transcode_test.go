package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

// reference transcodes JSON by the standard library's scanner.
func reference(text []byte) ([]byte, error) {
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	var v any
	if err := in.Decode(&v); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, ErrTruncated
		}
		return nil, ErrCorrupt
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, ErrTrailing
	}
	return referenceValue(nil, v, 0)
}

func referenceValue(out []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case map[string]any:
		out = msgp.AppendMapHeader(out, uint32(len(v)))
		for key, element := range v {
			var err error
			if out, err = referenceValue(appendRaw(out, key), element, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nested(depth)
	case []any:
		out = msgp.AppendArrayHeader(out, uint32(len(v)))
		for _, element := range v {
			var err error
			if out, err = referenceValue(out, element, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nested(depth)
	case string:
		return appendRaw(out, v), nil
	case bool:
		return msgp.AppendBool(out, v), nil
	case json.Number:
		return referenceNumber(out, v.String())
	}
	return append(out, mpNil), nil
}

func nested(depth int) error {
	if depth >= maxDepth {
		return ErrCorrupt
	}
	return nil
}

func referenceNumber(out []byte, n string) ([]byte, error) {
	if i, err := strconv.ParseInt(n, 10, 64); err == nil {
		return msgp.AppendInt64(out, i), nil
	}
	if u, err := strconv.ParseUint(n, 10, 64); err == nil {
		return msgp.AppendUint64(out, u), nil
	}
	f, err := strconv.ParseFloat(n, 64)
	if err != nil {
		return nil, ErrCorrupt
	}
	return msgp.AppendFloat64(out, f), nil
}

// generic returns msgpack as values of Go, in which the order of keys and the
// width of headers do not show.
func generic(t *testing.T, data []byte) any {
	t.Helper()
	var text bytes.Buffer
	rest, err := msgp.UnmarshalAsJSON(&text, data)
	if err != nil || len(rest) > 0 {
		t.Fatalf("%q: %v, %d bytes left", data, err, len(rest))
	}
	in := json.NewDecoder(&text)
	in.UseNumber()
	var v any
	if err := in.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// transcodesLikeReference compares what the two make of a text. An error of
// several may be met in another order.
func transcodesLikeReference(t *testing.T, text []byte) {
	t.Helper()
	got, err := transcode(text)
	want, wantErr := reference(text)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%q: %v, the reference says %v", text, err, wantErr)
	}
	if err != nil {
		if !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrTrailing) && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%q: %v is no error of this package", text, err)
		}
		return
	}
	a, b := mustText(t, generic(t, got)), mustText(t, generic(t, want))
	if a != b {
		t.Errorf("%q: %s, the reference says %s", text, a, b)
	}
}

func mustText(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// texts are JSON, most of it broken, and what is wrong with it.
var texts = map[string]error{
	`{}`: nil, `[]`: nil, ` { } `: nil, "\t\r\n[\n]\n": nil, `{"a":1}`: nil, `{"a":1,"b":[true,false,null]}`: nil,
	`"x"`: nil, `true`: nil, `0`: nil, `-0`: nil, `-1`: nil, `9223372036854775807`: nil, `18446744073709551615`: nil,
	`18446744073709551616`: nil, `-9223372036854775809`: nil, `1.5`: nil, `1e3`: nil, `1E+3`: nil, `1e-400`: nil, `0.1e1`: nil,
	`"\"\\\/\b\f\n\r\t"`: nil, `"\u00e9\u20AC"`: nil, `"\ud83d\ude00"`: nil, `"\ud83d"`: nil, `"\ud83d\u0041"`: nil,
	`"\ude00x"`: nil, `"\ud83d\ud83d\ude00"`: nil, `"é€😀"`: nil, "\"\xff\xfea\xc3\"": nil, "\"\xed\xa0\x80\\n\xff\"": nil, "\"\u2028\x7f\"": nil,
	`{"a":{"a":{"a":[[[]]]}}}`: nil, `{"":""}`: nil,
	`["` + strings.Repeat("x", 31) + `","` + strings.Repeat("y", 32) + `","` + strings.Repeat("z", 70_000) + `"]`: nil,
	`[` + strings.Repeat("0,", 15) + `0]`: nil, `[` + strings.Repeat("0,", 14) + `0]`: nil, `[` + strings.Repeat("12345,", 14) + `0]`: nil,
	strings.Repeat(`[`, maxDepth) + strings.Repeat(`]`, maxDepth): nil,

	``: ErrTruncated, ` `: ErrTruncated, `{`: ErrTruncated, `[`: ErrTruncated, `[1`: ErrTruncated, `[1,`: ErrTruncated, `{"a"`: ErrTruncated,
	`{"a":`: ErrTruncated, `{"a":1`: ErrTruncated, `"`: ErrTruncated, `"a\`: ErrTruncated, `"\u12`: ErrTruncated, `"\n`: ErrTruncated, `-`: ErrTruncated, `1.`: ErrTruncated,
	`1e`: ErrTruncated, `1e+`: ErrTruncated, `tru`: ErrTruncated, `n`: ErrTruncated,
	`{} {}`: ErrTrailing, `[]x`: ErrTrailing, `01`: ErrTrailing, `1 1`: ErrTrailing,
	`[1,]`: ErrCorrupt, `{"a":1,}`: ErrCorrupt, `{a:1}`: ErrCorrupt, `{"a" 1}`: ErrCorrupt, `{"a":1 "b":2}`: ErrCorrupt, `[1 2]`: ErrCorrupt, `{1:2}`: ErrCorrupt,
	`[01]`: ErrCorrupt, `[+1]`: ErrCorrupt, `[.5]`: ErrCorrupt, `[1.x]`: ErrCorrupt, `[1ex]`: ErrCorrupt, `[-x]`: ErrCorrupt, `[--1]`: ErrCorrupt, `[1e400]`: ErrCorrupt,
	`[trux]`: ErrCorrupt, `nul1`: ErrCorrupt, `NaN`: ErrCorrupt, `'a'`: ErrCorrupt, `}`: ErrCorrupt, `]`: ErrCorrupt, `,`: ErrCorrupt, `[}`: ErrCorrupt, `{]`: ErrCorrupt,
	"\"a\nb\"": ErrCorrupt, "\"\\n\x00\"": ErrCorrupt, `"\x"`: ErrCorrupt, `"\u12G4"`: ErrCorrupt, "\"\\u00\x100\"": ErrCorrupt, `"\ud83d\uZZZZ"`: ErrCorrupt, "\x00": ErrCorrupt, "\xef\xbb\xbf{}": ErrCorrupt,
	"\u00a0{}": ErrCorrupt, "\f{}": ErrCorrupt, `/**/{}`: ErrCorrupt,
	strings.Repeat(`[`, maxDepth+1) + strings.Repeat(`]`, maxDepth+1): ErrCorrupt,
}

func TestTranscode(t *testing.T) {
	t.Parallel()
	for text, want := range texts {
		if _, err := transcode([]byte(text)); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
		transcodesLikeReference(t, []byte(text))
	}
}

func FuzzTranscode(f *testing.F) {
	for text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(transcodesLikeReference)
}
