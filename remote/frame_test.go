package remote

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/alloctest"
)

// text is a codec of strings.
type text struct{}

func (text) Encode(s string) ([]byte, error) {
	switch s {
	case "panic":
		panic("cannot encode this")
	case "fail":
		return nil, errors.New("cannot encode that")
	case "typed nil":
		return nil, (*textError)(nil)
	}
	return []byte(s), nil
}

// textError is an error that many codecs return by mistake: as a nil pointer it is an error, and its method panics.
type textError struct{ said string }

func (e *textError) Error() string { return e.said }

func (text) Decode(b []byte) (string, error) {
	if string(b) == "poison" {
		panic("cannot decode this")
	}
	return string(b), nil
}

// holds is a source that holds the same whatever it is asked.
type holds bucket.Held[string]

func (h holds) Held(context.Context, string, time.Time, time.Time) (bucket.Held[string], error) {
	return bucket.Held[string](h), nil
}

// goldenAnswer is a body of version 1. These bytes are frozen.
const goldenAnswer = `
54425201
48 00000012 cd69996f 0000000000000002 0000000000000001 6331
53 0000002c 6a96f70d 01 0000000000000001 0000000000000003 000102030405060708090a0b0c0d0e0f 0006 6161612f2d31 78797a
4f 00000002 ceed2c24 6162
45 00000000 aa77cd87`

func golden() []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(goldenAnswer), ""))
	if err != nil {
		panic(err)
	}
	return b
}

func goldenHeld() bucket.Held[string] {
	sum := blob.Sum{}
	for i := range sum {
		sum[i] = byte(i)
	}
	return bucket.Held[string]{Version: "c1", Next: 2, Since: 1, IsOpen: true, Open: "ab", Sealed: []bucket.HeldValue[string]{
		{Entry: index.Entry{Time: 1, Key: "aaa/-1", Size: 3, Sum: sum}, Own: true, Value: "xyz"}}}
}

func TestGoldenBytes(t *testing.T) {
	t.Parallel()
	h, err := NewHandler(holds(goldenHeld()), text{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/timeblob/held?v=1&tenant=acme&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z", nil))
	if !bytes.Equal(w.Body.Bytes(), golden()) || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/x-timeblob" {
		t.Errorf("%d %v\n%x, want\n%x", w.Code, w.Header(), w.Body, golden())
	}
}

// TestTheDocumentedBytes compares the example in the package's documentation with
// what a handler sends.
func TestTheDocumentedBytes(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(source), "at instant 2:\n")
	var documented []byte
	for line := range strings.Lines(example) {
		bytesOf, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "//\t"), "  ")
		if b, err := hex.DecodeString(strings.ReplaceAll(bytesOf, " ", "")); err == nil {
			documented = append(documented, b...)
		}
	}
	h, _ := NewHandler(holds{Version: "c1", Next: 2, Since: 1, IsOpen: true, Open: "ab"}, text{}, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/held?v=1&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z", nil))
	if !bytes.Equal(documented, w.Body.Bytes()) {
		t.Errorf("documented\n% x, sent\n% x", documented, w.Body)
	}
}

// says is an HTTP transport of one answer.
type says struct {
	status int
	body   io.Reader
}

func (s says) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: s.status, Status: http.StatusText(s.status), Header: http.Header{}, Body: io.NopCloser(s.body), Request: r}, nil
}

func clientOf(t testing.TB, answer http.RoundTripper, opts ClientOptions) *Client[string] {
	t.Helper()
	opts.HTTP = &http.Client{Transport: answer}
	c, err := NewClient("http://user:secret@collector:1/timeblob/", text{}, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var from, to = time.Unix(0, 0), time.Unix(3600, 0)

func TestHeldOfGoldenBytes(t *testing.T) {
	t.Parallel()
	got, err := clientOf(t, says{200, bytes.NewReader(golden())}, ClientOptions{}).Held(t.Context(), "acme", from, to)
	want := goldenHeld()
	if err != nil || got.Version != want.Version || got.Next != want.Next || got.Since != want.Since || got.Open != "ab" || !got.IsOpen || len(got.Sealed) != 1 || got.Sealed[0] != want.Sealed[0] {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestCutAnywhere cuts the answer after each of its bytes.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	for n := range golden() {
		_, err := clientOf(t, says{200, bytes.NewReader(golden()[:n])}, ClientOptions{}).Held(t.Context(), "acme", from, to)
		if wrong, ok := errors.AsType[*FormatError](err); !ok || !errors.Is(wrong, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// TestOneWrongBit flips each bit of the answer.
func TestOneWrongBit(t *testing.T) {
	t.Parallel()
	for bit := range 8 * len(golden()) {
		b := golden()
		b[bit/8] ^= 1 << (bit % 8)
		_, err := clientOf(t, says{200, bytes.NewReader(b)}, ClientOptions{MaxBytes: 1 << 10}).Held(t.Context(), "acme", from, to)
		_, wrong := errors.AsType[*FormatError](err)
		_, large := errors.AsType[*TooLargeError](err) // of a length
		if !wrong && !large {
			t.Errorf("bit %d: %v", bit, err)
		}
	}
}

// frame makes a frame.
func frame(kind byte, payload string) string {
	b, err := appendFrame(nil, kind, func(b []byte) []byte { return append(b, payload...) })
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	is := func(want any) func(error) bool { return func(err error) bool { return errors.As(err, want) } }
	head := frame('H', "\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01c1")
	for name, c := range map[string]struct {
		status int
		body   string
		is     func(error) bool
		says   string
	}{
		"another program":    {200, "<html>hello</html>", is(new(*FormatError)), `begins with "<htm"`},
		"a later version":    {200, "TBR\x02", is(new(*FormatError)), "version 2"},
		"a kind unknown":     {200, magic + head + frame('?', ""), is(new(*FormatError)), `kind '?'`},
		"a kind misplaced":   {200, magic + head + frame('A', ""), is(new(*FormatError)), `kind 'A'`},
		"no version":         {200, magic + frame('E', ""), is(new(*FormatError)), "what version"},
		"a frame too short":  {200, magic + frame('H', "123"), is(new(*FormatError)), "shorter"},
		"an entry too short": {200, magic + head + frame('S', "\x01123"), is(new(*FormatError)), "shorter"},
		"a length too large": {200, magic + "H\xff\xff\xff\xff1234", is(new(*TooLargeError)), "1000000 bytes"},
		"a proxy's page":     {502, "bad gateway", is(new(*Error)), "Bad Gateway"},
		"a redirect":         {302, "", is(new(*Error)), "Found"},
		"failed midway":      {200, magic + head + frame('F', "\x00\x06closed\x00\x00no"), func(err error) bool { return errors.Is(err, bucket.ErrClosed) }, "no"},
		"failed without any": {200, magic + head + frame('F', ""), is(new(*Error)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := clientOf(t, says{c.status, strings.NewReader(c.body)}, ClientOptions{MaxBytes: 1e6}).Held(t.Context(), "acme", from, to)
			if err == nil || !c.is(err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%T: %v", err, err)
			}
			if err != nil && (!strings.Contains(err.Error(), "collector:1") || strings.Contains(err.Error(), "secret")) {
				t.Errorf("the server is not named, or its password is: %v", err)
			}
		})
	}
}

// mute is a transport that never answers, or whose answer never ends.
type mute struct{ begins string }

func (m mute) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.begins == "" {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	body := io.MultiReader(strings.NewReader(m.begins), until{r.Context()})
	return says{200, body}.RoundTrip(r)
}

// until is a body without bytes that ends with a context.
type until struct{ ctx context.Context }

func (u until) Read([]byte) (int, error) {
	<-u.ctx.Done()
	return 0, u.ctx.Err()
}

func TestHang(t *testing.T) {
	t.Parallel()
	for _, begins := range []string{"", "T", magic, magic + frame('H', "\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01c1")} {
		synctest.Test(t, func(t *testing.T) {
			begun, c := time.Now(), clientOf(t, mute{begins}, ClientOptions{Timeout: 3 * time.Second})
			_, err := c.Held(t.Context(), "acme", from, to)
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 3*time.Second {
				t.Errorf("after %q: %v, %v", begins, err, time.Since(begun))
			}
		})
	}
}

func TestQuestionsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		c := clientOf(t, mute{magic}, ClientOptions{Timeout: time.Second})
		if _, err := c.Range(ctx, "acme", from, to, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("range: %v", err)
		}
		for _, err := range c.Steps(ctx, "acme", from, to, time.Second, nil) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("steps: %v", err)
			}
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add(golden())
	f.Add([]byte(magic + frame('A', "") + frame('V', "") + frame('M', "") + frame('E', "")))
	f.Fuzz(func(t *testing.T, body []byte) {
		answer := func() *Client[string] {
			return clientOf(t, says{200, bytes.NewReader(body)}, ClientOptions{MaxBytes: 1 << 16})
		}
		var held bucket.Held[string]
		var err error
		client := answer()
		alloctest.Bounded(t, "holdings", int64(len(body)), 256<<10, func() { held, err = client.Held(t.Context(), "acme", from, to) })
		if err == nil && held.Version == "" {
			t.Error("holdings without a version")
		}
		_, _ = answer().Range(t.Context(), "acme", from, to, nil)
		for range answer().Values(t.Context(), "acme", from, to, nil) {
			break
		}
		for range answer().Steps(t.Context(), "acme", from, to, time.Second, nil) {
		}
	})
}
