package wire_test

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/timeblob/timeblob/internal/alloctest"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// zstdOf compresses data as a frame of zstd.
func zstdOf(t testing.TB, data []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	zw, err := zstd.NewWriter(nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer zw.Close()
	return zw.EncodeAll(data, nil)
}

// TestBlobsTellTheirFormat checks that every codec decodes blobs of both formats.
func TestBlobsTellTheirFormat(t *testing.T) {
	t.Parallel()
	for _, file := range captured(t) {
		want := decodeFile(t, file)
		for _, format := range []wire.Format{wire.Gzip, wire.Zstd} {
			blob, err := wire.Codec{Format: format}.Encode(want)
			if err != nil {
				t.Fatal(err)
			}
			if isGzip := bytes.HasPrefix(blob, []byte("\x1f\x8b")); isGzip != (format == wire.Gzip) || !wire.IsBlob(blob[:4]) {
				t.Errorf("%s in %v begins %x", file, format, blob[:4])
			}
			for _, codec := range []wire.Codec{{}, {Format: wire.Zstd}} {
				if r, err := codec.Decode(blob); err != nil || !reflect.DeepEqual(r, want) {
					t.Errorf("%s in %v, decoded with %v: %v", file, format, codec.Format, err)
				}
			}
			if r, err := (wire.Codec{}).DecodeFile("x.msgpack.gz", blob); err != nil || !reflect.DeepEqual(r, want) {
				t.Errorf("%s in %v, as a file: %v", file, format, err)
			}
		}
	}
}

// TestPostsAreGzip checks that a posted blob in zstd is refused: it could be kept
// where Scope reads.
func TestPostsAreGzip(t *testing.T) {
	t.Parallel()
	blob, err := wire.Codec{Format: wire.Zstd}.Encode(small())
	if err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func() error{
		"Examine":      func() error { _, err := wire.Codec{}.Examine(blob); return err },
		"DecodeToKeep": func() error { _, _, err := wire.Codec{}.DecodeToKeep(blob); return err },
		"ReadBody":     func() error { _, err := wire.ReadBody(bytes.NewReader(blob), true, 1<<20); return err },
	} {
		if err := read(); !errors.Is(err, wire.ErrCorrupt) {
			t.Errorf("%s: %v, want %v", name, err, wire.ErrCorrupt)
		}
	}
}

func TestFormatsHaveNames(t *testing.T) {
	t.Parallel()
	for _, format := range []wire.Format{wire.Gzip, wire.Zstd} {
		name, err := format.MarshalText()
		var back wire.Format
		if err := errors.Join(err, back.UnmarshalText(name)); err != nil || back != format {
			t.Errorf("%v comes back as %v, %v", format, back, err)
		}
	}
	var f wire.Format
	if err := f.UnmarshalText([]byte("brotli")); err == nil {
		t.Error("brotli is a format")
	}
}

// TestDamagedZstd cuts a blob at each byte, and flips a bit of each. It must not
// decode to another report.
func TestDamagedZstd(t *testing.T) {
	t.Parallel()
	want := small()
	blob, err := wire.Codec{Format: wire.Zstd}.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	for n := range blob {
		if _, err := (wire.Codec{}).Decode(blob[:n]); !isBadBody(err) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
		flipped := bytes.Clone(blob)
		flipped[n] ^= 1 << (n % 8)
		if r, err := (wire.Codec{}).Decode(flipped); !isBadBody(err) && !reflect.DeepEqual(r, want) {
			t.Errorf("byte %d flipped: %v", n, err)
		}
	}
	for _, tail := range []string{"x", "xx", "xxx", "xxxx", "\x28\xb5\x2f\xfd"} {
		if _, err := (wire.Codec{}).Decode(append(bytes.Clone(blob), tail...)); !isBadBody(err) {
			t.Errorf("followed by %q: %v", tail, err)
		}
	}
	if r, err := (wire.Codec{}).Decode(append(zstdOf(t, nil, zstd.WithZeroFrames(true)), blob...)); err != nil || !reflect.DeepEqual(r, want) {
		t.Errorf("behind an empty frame: %v", err)
	}
}

// isBadBody reports whether an error is one of ReadBlob.
func isBadBody(err error) bool {
	var large *wire.TooLargeError
	return errors.Is(err, wire.ErrCorrupt) || errors.Is(err, wire.ErrTruncated) || errors.Is(err, wire.ErrChecksum) || errors.As(err, &large)
}

// TestZstdBombs decodes blobs that inflate to more than the limit, or say that they
// do. The memory that decoding allocates follows the limit, and not what a blob says.
//
// Not parallel: it watches what is allocated.
func TestZstdBombs(t *testing.T) {
	const limit = 1 << 20
	for range 2 * runtime.GOMAXPROCS(0) { // decoders are made once
		_, _ = wire.Codec{}.Decode(zstdOf(t, []byte("x")))
	}
	zeros := make([]byte, limit+1)
	wide := zstdOf(t, make([]byte, 32<<20), zstd.WithWindowSize(16<<20))
	for name, c := range map[string]struct {
		blob []byte
		want error // nil for a TooLargeError
	}{
		"a byte too many":         {zstdOf(t, zeros), nil},
		"no size, too many bytes": {streamed(t, zeros), nil},
		"many frames":             {bytes.Repeat(zstdOf(t, zeros[:limit/4]), 5), nil},
		"a claim of 2^60 bytes":   {[]byte("\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x00\x00\x10\x01\x00\x00"), nil},
		"a claim of 1 MiB":        {[]byte("\x28\xb5\x2f\xfd\xa0\x00\x00\x10\x00\x01\x00\x00"), wire.ErrCorrupt},
		"a window of 16 MiB":      {wide, wire.ErrCorrupt},
	} {
		takesLittle(t, name, make([]byte, limit), func() {
			_, err := wire.Codec{MaxBytes: limit}.Decode(c.blob)
			var large *wire.TooLargeError
			if c.want == nil && (!errors.As(err, &large) || large.Limit != limit) || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	blob := zstdOf(t, []byte(padded(one("ID", fix("x")), limit-100)))
	if _, err := (wire.Codec{MaxBytes: limit}).Decode(blob); err != nil {
		t.Errorf("a report of little more than its limit, in %d bytes: %v", len(blob), err)
	}
}

// streamed compresses data as a frame that does not say its size.
func streamed(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	zw, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	_, err = zw.Write(data[:len(data)/2])
	err = errors.Join(err, zw.Flush())
	_, again := zw.Write(data[len(data)/2:])
	if err := errors.Join(err, again, zw.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func FuzzZstd(f *testing.F) {
	for _, file := range goldentest.Files(f, "legacy/*.msgpack.gz") {
		plain := goldentest.Inflate(f, file)
		f.Add(zstdOf(f, plain))
		f.Add(streamed(f, plain))
	}
	f.Add([]byte("\x00EC0\x049")) // it repeats one byte within a window of 416 KiB
	f.Fuzz(func(t *testing.T, blob []byte) {
		blob = append([]byte("\x28\xb5\x2f\xfd"), bytes.TrimPrefix(blob, []byte("\x28\xb5\x2f\xfd"))...)
		codec := wire.Codec{MaxBytes: 1 << 20, Format: wire.Zstd}
		plain, err := wire.ReadBlob(bytes.NewReader(blob), codec.MaxBytes)
		if err != nil {
			if !isBadBody(err) {
				t.Fatal(err)
			}
			return
		}
		var r *report.Report
		const window = 8 << 20 // which a frame may claim, and a reader then allocates
		alloctest.Bounded(t, "a blob in zstd", int64(len(plain)), window+256<<10, func() { r, err = codec.Decode(blob) })
		if want, plainErr := wire.DecodeMsgpack(plain); (err == nil) != (plainErr == nil) || err == nil && !reflect.DeepEqual(r, want) && !holdsNaN(r) {
			t.Fatalf("%v, but its content: %v", err, plainErr)
		}
		if err == nil {
			staysTheSame(t, r, func(dst []byte, r *report.Report) ([]byte, error) {
				blob, err := codec.Encode(r)
				return append(dst, blob...), err
			}, codec.Decode)
		}
	})
}
