package inflate_test

import (
	"bytes"
	stdflate "compress/flate"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"

	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report/internal/inflate"
)

// deflated returns a text compressed at a level, in one block for each piece.
func deflated(t testing.TB, text []byte, level, piece int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	for ; len(text) > piece; text = text[piece:] {
		if _, err := w.Write(text[:piece]); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// texts returns what is hard or easy to compress.
func texts(t testing.TB) map[string][]byte {
	random := make([]byte, 70_000)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	skewed := make([]byte, 70_000) // long codes
	for i := range skewed {
		skewed[i] = byte(min(255, int(r.ExpFloat64()*16)))
	}
	return map[string][]byte{
		"nothing": nil, "a byte": {7}, "random": random, "skewed": skewed,
		"one letter": bytes.Repeat([]byte("x"), 1<<18), "three": []byte(strings.Repeat("abc", 100_000)),
		"a report": goldentest.Inflate(t, goldentest.Files(t, "k8s-node/*.msgpack.gz")[0]),
	}
}

func TestAppendInflates(t *testing.T) {
	t.Parallel()
	var d inflate.Decoder
	for name, text := range texts(t) {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6, 9} {
			for _, piece := range []int{1 << 30, 30_000, 777} {
				stream := append(deflated(t, text, level, piece), "rest"...)
				for _, free := range []int{0, len(text) + 1000} {
					out, rest, err := d.Append(append(make([]byte, 0, 4+free), "head"...), stream, len(text)+4)
					if err != nil || string(rest) != "rest" || !bytes.Equal(out, append([]byte("head"), text...)) {
						t.Fatalf("%s, level %d, pieces of %d, room for %d: %d bytes, rest %q, %v", name, level, piece, free, len(out), rest, err)
					}
				}
			}
		}
	}
}

// The loop without checks hands over to the careful one after any symbol, also one
// with a long code.
func TestAppendInflatesLongCodesAtTheEnd(t *testing.T) {
	t.Parallel()
	var d inflate.Decoder
	r := rand.New(rand.NewPCG(3, 4))
	common := make([]byte, 20_000)
	for i := range common {
		common[i] = "abcdefgh"[r.IntN(8)]
	}
	for _, level := range []int{flate.HuffmanOnly, 6} {
		for rare := range 64 { // letters that occur once have the longest codes
			text := slices.Clone(common)
			for i := range rare {
				text = append(append(text, "abcdefgh"[i%7:][:1+i/8%2]...), byte(128+i))
			}
			out, rest, err := d.Append(make([]byte, 0, len(text)+512), deflated(t, text, level, 1<<30), len(text))
			if err != nil || len(rest) > 0 || !bytes.Equal(out, text) {
				t.Fatalf("level %d, %d rare letters: %d bytes, rest %q, %v", level, rare, len(out), rest, err)
			}
		}
	}
}

// Every stream that is cut short, and every one that holds too much, is refused.
func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	var d inflate.Decoder
	for name, text := range texts(t) {
		stream := deflated(t, text, 6, 5_000)
		for _, n := range []int{0, 1, 2, 3, 7, 8, 9, len(stream) / 2, len(stream) - 9, len(stream) - 8, len(stream) - 2, len(stream) - 1} {
			if n >= 0 && n < len(stream) {
				if _, _, err := d.Append(nil, stream[:n], 1<<30); !errors.Is(err, inflate.ErrTruncated) {
					t.Errorf("%s, %d of %d bytes: %v", name, n, len(stream), err)
				}
			}
		}
		for _, limit := range []int{0, 1, len(text) / 2, len(text) - 1} {
			if limit < 0 || limit >= len(text) {
				continue
			}
			out, _, err := d.Append(make([]byte, 0, 2*len(text)), stream, limit)
			if !errors.Is(err, inflate.ErrTooLarge) || len(out) > limit {
				t.Errorf("%s, limit %d of %d: %d bytes, %v", name, limit, len(text), len(out), err)
			}
			if out, _, _ = d.Append(nil, stream, limit); cap(out) > 2*limit+1024 {
				t.Errorf("%s, limit %d: %d bytes allocated", name, limit, cap(out))
			}
		}
	}
}

// BenchmarkAppend reports how much less time it takes than the reader of
// klauspost/compress, used as well as it can be.
func BenchmarkAppend(b *testing.B) {
	text := goldentest.Inflate(b, goldentest.Files(b, "k8s-node/*.msgpack.gz")[0])
	stream := deflated(b, text, 6, 1<<30)
	var d inflate.Decoder
	out, reader := make([]byte, 0, len(text)+512), flate.NewReader(nil)
	buffer := bytes.NewBuffer(make([]byte, 0, len(text)+512))
	var ours, theirs []time.Duration
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		begun := time.Now()
		if _, _, err := d.Append(out, stream, len(text)); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(begun))
		begun = time.Now()
		buffer.Reset()
		if err := reader.(flate.Resetter).Reset(bytes.NewReader(stream), nil); err != nil {
			b.Fatal(err)
		}
		if _, err := buffer.ReadFrom(reader); err != nil {
			b.Fatal(err)
		}
		theirs = append(theirs, time.Since(begun))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	b.ReportMetric(float64(ours[len(ours)/10])/float64(theirs[len(theirs)/10]), "x-klauspost") // undisturbed ones
}

// FuzzAppend compares with compress/flate, which must take the same streams, make
// the same of them, and end at the same place; with and without room for the output.
func FuzzAppend(f *testing.F) {
	for _, text := range texts(f) {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6} {
			f.Add(deflated(f, text[:min(len(text), 3000)], level, 1000))
		}
	}
	f.Add([]byte{0x05, 0xc0, 0x81, 0x00, 0x00, 0x00, 0x00, 0x00, 0x90, 0xff, 0x6b, 0x02})
	const limit = 1 << 20
	f.Fuzz(func(t *testing.T, stream []byte) {
		src := bytes.NewReader(stream)
		want, wantErr := io.ReadAll(io.LimitReader(stdflate.NewReader(src), limit+1))
		var d inflate.Decoder
		for _, free := range []int{0, min(len(want), limit) + 512} {
			out, rest, err := d.Append(make([]byte, 0, free), stream, limit)
			switch {
			case len(want) > limit:
				if !errors.Is(err, inflate.ErrTooLarge) {
					t.Fatalf("room for %d: %v, want that it is too large", free, err)
				}
			case (err == nil) != (wantErr == nil):
				t.Fatalf("room for %d: %v, want %v", free, err, wantErr)
			case err == nil && (!bytes.Equal(out, want) || len(rest) != src.Len()):
				t.Fatalf("room for %d: %d bytes, %d left, want %d, %d", free, len(out), len(rest), len(want), src.Len())
			}
		}
	})
}
