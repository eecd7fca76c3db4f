package deflate_test

import (
	"bytes"
	stdflate "compress/flate"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/tinylib/msgp/msgp"

	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report/internal/deflate"
	"github.com/timeblob/timeblob/reports/report/internal/inflate"
)

// random returns so many random bytes, each less than a limit.
func random(seed uint64, n, limit int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	text := make([]byte, n)
	for i := range text {
		text[i] = byte(r.IntN(limit))
	}
	return text
}

// skewed returns bytes. Each value is half as frequent as the value before, so that
// their codes would be longer than the format allows.
func skewed(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, n)
	for i := range text {
		b := byte(0)
		for b < 60 && r.IntN(2) == 0 {
			b++
		}
		text[i] = b
	}
	return text
}

// values returns msgpack of each kind of value, over and over.
func values() (text []byte) {
	for i := range 500 {
		text = msgp.AppendMapHeader(text, uint32(i%40))
		text = msgp.AppendString(text, strings.Repeat("key", i%30))
		text = msgp.AppendInt(text, i<<(i%40))
		text = msgp.AppendBytes(text, random(uint64(i), i%300, 256))
		text = msgp.AppendFloat64(text, float64(i%7))
		text = msgp.AppendFloat32(text, float32(i))
		text = msgp.AppendTime(text, time.Unix(int64(i/10), 5))
		text = msgp.AppendNil(msgp.AppendBool(text, i%2 == 0))
	}
	return text
}

// texts returns what is hard or easy to compress.
func texts(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"nothing": nil, "a byte": {7}, "nine bytes": []byte("ninebytes"),
		"random": random(1, 100_000, 256), "few letters": random(2, 100_000, 3), "skewed": skewed(1 << 18),
		"one letter": bytes.Repeat([]byte("x"), 1<<18), "three": []byte(strings.Repeat("abc", 100_000)),
		"values": values(), "beginnings of texts": bytes.Repeat([]byte{0xdb, 0xff, 0xda, 0xc6, 0xd9, 0xbf}, 9999),
		"far apart": slices.Concat(random(3, 40_000, 256), random(3, 40_000, 256), random(4, 20_000, 256), random(4, 20_000, 256)),
		"a report":  goldentest.Inflate(t, goldentest.Files(t, "k8s-node/*.msgpack.gz")[0]),
		"a host":    goldentest.Inflate(t, goldentest.Files(t, "hosts/*/*.msgpack.gz")[0]),
	}
}

// inflated returns what a stream holds, as two decoders of others and our own read it.
func inflated(t testing.TB, stream []byte, limit int) []byte {
	t.Helper()
	src := bytes.NewReader(stream)
	text, err := io.ReadAll(stdflate.NewReader(src))
	if err != nil || src.Len() > 0 {
		t.Fatalf("compress/flate: %v, %d bytes left", err, src.Len())
	}
	other, err := io.ReadAll(flate.NewReader(bytes.NewReader(stream)))
	if err != nil || !bytes.Equal(other, text) {
		t.Fatalf("klauspost/compress/flate: %v", err)
	}
	var d inflate.Decoder
	own, rest, err := d.Append(nil, stream, limit)
	if err != nil || len(rest) > 0 || !bytes.Equal(own, text) {
		t.Fatalf("inflate: %v", err)
	}
	return text
}

func TestStreamsHoldTheirTexts(t *testing.T) {
	t.Parallel()
	var e deflate.Encoder
	for name, text := range texts(t) {
		stream := e.Append([]byte("head"), text)
		if string(stream[:4]) != "head" || !bytes.Equal(inflated(t, stream[4:], len(text)), text) {
			t.Fatalf("%s: another text came back", name)
		}
		if most := len(text) + 16 + 10*(len(text)>>16); len(stream)-4 > most {
			t.Errorf("%s: %d bytes became %d, want at most %d", name, len(text), len(stream)-4, most)
		}
		var fresh deflate.Encoder
		if !bytes.Equal(fresh.Append(nil, text), stream[4:]) {
			t.Errorf("%s: the stream depends on what was compressed before", name)
		}
	}
}

// TestTextsOfEachLength cuts texts at each length, since the last bytes are not looked up.
func TestTextsOfEachLength(t *testing.T) {
	t.Parallel()
	var e deflate.Encoder
	for _, text := range [][]byte{[]byte(strings.Repeat("abcdefgh", 15)), values()[:150], random(5, 100, 2)} {
		for n := range text {
			if got := inflated(t, e.Append(nil, text[:n]), n); !bytes.Equal(got, text[:n]) {
				t.Fatalf("%d bytes: another text came back", n)
			}
		}
	}
}

// TestReportsStaySmall compares with gzip at level 6, on all captured reports.
func TestReportsStaySmall(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"k8s-node/*.msgpack.gz", "hosts/*/*.msgpack.gz"} {
		var e deflate.Encoder
		ours, theirs := 0, 0
		for _, file := range goldentest.Files(t, pattern) {
			text := goldentest.Inflate(t, file)
			ours, theirs = ours+len(e.Append(nil, text)), theirs+len(klauspost(t, text))
		}
		t.Logf("%s: %d bytes, klauspost %d: %.3f", pattern, ours, theirs, float64(ours)/float64(theirs))
		if ours > theirs*105/100 {
			t.Errorf("%s: %d bytes, more than 1.05 of klauspost's %d", pattern, ours, theirs)
		}
	}
}

func klauspost(t testing.TB, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 6)
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// BenchmarkAppend compares with the writer of klauspost/compress at level 6.
func BenchmarkAppend(b *testing.B) {
	for _, pattern := range []string{"k8s-node/*.msgpack.gz", "hosts/*/*.msgpack.gz"} {
		b.Run(pattern, func(b *testing.B) {
			text := goldentest.Inflate(b, goldentest.Files(b, pattern)[0])
			var e deflate.Encoder
			var out []byte
			var packed bytes.Buffer
			w, _ := flate.NewWriter(nil, 6)
			var ours, theirs []time.Duration
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				begun := time.Now()
				out = e.Append(out[:0], text)
				ours = append(ours, time.Since(begun))
				begun = time.Now()
				packed.Reset()
				w.Reset(&packed)
				_, _ = w.Write(text)
				_ = w.Close()
				theirs = append(theirs, time.Since(begun))
			}
			slices.Sort(ours)
			slices.Sort(theirs)
			b.ReportMetric(float64(ours[len(ours)/10])/float64(theirs[len(theirs)/10]), "x-klauspost") // undisturbed ones
			b.ReportMetric(float64(len(out))/float64(packed.Len()), "x-bytes")
		})
	}
}

// FuzzAppend compresses any text, and reads it back.
func FuzzAppend(f *testing.F) {
	for _, text := range texts(f) {
		f.Add(text[:min(len(text), 3000)], uint8(1))
	}
	f.Add([]byte("\xdb\xff\xff\xff\xff"), uint8(20))
	f.Fuzz(func(t *testing.T, text []byte, times uint8) {
		text = bytes.Repeat(text, int(times%32))
		if len(text) > 1<<20 {
			return
		}
		var e deflate.Encoder
		stream := e.Append(nil, text)
		if got := inflated(t, stream, len(text)); !bytes.Equal(got, text) {
			t.Fatalf("%d bytes: another text came back", len(text))
		}
		if most := len(text) + 16 + 10*(len(text)>>16); len(stream) > most {
			t.Fatalf("%d bytes became %d, want at most %d", len(text), len(stream), most)
		}
	})
}
