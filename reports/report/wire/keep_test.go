package wire_test

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// TestWhatProbesSendIsKept checks that captured reports may be stored as they are,
// and what this package writes may.
func TestWhatProbesSendIsKept(t *testing.T) {
	t.Parallel()
	for _, file := range append(goldentest.Files(t, "k8s-node/*"), goldentest.Files(t, "hosts/*/*")...) {
		r, keep, err := wire.Codec{}.DecodeToKeep(goldentest.Read(t, file))
		if err != nil || !keep {
			t.Fatalf("%s: %v, %v", file, keep, err)
		}
		blob, err := wire.Codec{}.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, keep, err := (wire.Codec{}).DecodeToKeep(blob); err != nil || !keep {
			t.Errorf("%s, encoded: %v, %v", file, keep, err)
		}
	}
}

// TestWhatIsNotKept checks that a blob is encoded again when old readers might not know its form, or when it holds more than the report.
func TestWhatIsNotKept(t *testing.T) {
	t.Parallel()
	node := func(field, value string) string {
		return one("Host", one("nodes", one("n", one(field, value))))
	}
	uncompressed := func(plain string) []byte {
		var b bytes.Buffer
		zw, err := gzip.NewWriterLevel(&b, gzip.NoCompression)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = zw.Write([]byte(plain))
		_ = zw.Close()
		return b.Bytes()
	}
	long := node("latest", "\x80")
	for name, c := range map[string]struct {
		blob []byte
		keep bool
	}{
		"a node":                     {gzipped(t, []byte(node("adjacency", "\x91"+fix("x")))), true},
		"nil":                        {gzipped(t, []byte(node("adjacency", "\xc0"))), true},
		"a long text":                {gzipped(t, []byte(one("ID", "\xda\x00\x40"+strings.Repeat("x", 64)))), true},
		"a longer text":              {gzipped(t, []byte(one("ID", "\xdb\x00\x01\x00\x00"+strings.Repeat("x", 1<<16)))), true},
		"two members":                {append(gzipped(t, []byte(long[:1])), gzipped(t, []byte(long[1:]))...), true},
		"short, not compressed":      {uncompressed(node("adjacency", "\x91"+fix("x"))), true},
		"long, not compressed":       {uncompressed(one("ID", "\xda\x20\x00"+strings.Repeat("x", 1<<13))), false},
		"str8":                       {gzipped(t, []byte(one("ID", "\xd9\x01x"))), false},
		"bin8":                       {gzipped(t, []byte(one("ID", "\xc4\x01x"))), false},
		"a key in str8":              {gzipped(t, []byte("\x81\xd9\x02ID"+fix("x"))), false},
		"an unknown field":           {gzipped(t, []byte(one("x", "\x01"))), false},
		"an unknown field of a node": {gzipped(t, []byte(node("x", "\x01"))), false},
		"a float for an integer":     {gzipped(t, []byte(one("Window", "\xca\x40\x40\x00\x00"))), false},
		"a time in text":             {gzipped(t, []byte(one("TS", fix("2023-11-14T22:13:20Z")))), false},
		"old DNS":                    {gzipped(t, []byte(one("nodes", one("10.0.0.1", "\x80")))), false},
		"old counters":               {gzipped(t, []byte(node("counters", one("c", "\x01")))), false},
		"old controls":               {gzipped(t, []byte(node("latestControls", "\x80"))), false},
	} {
		if _, keep, err := (wire.Codec{}).DecodeToKeep(c.blob); err != nil || keep != c.keep {
			t.Errorf("%s: %v, %v; want %v", name, keep, err, c.keep)
		}
	}
}
