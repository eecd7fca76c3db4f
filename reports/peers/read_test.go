package peers

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/timeblob/timeblob/internal/alloctest"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// endless is a source of one letter.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestReadAll reads sources of many lengths, in large and small pieces, and with errors at their ends.
func TestReadAll(t *testing.T) {
	t.Parallel()
	for _, length := range []int{0, 1, firstRead - 1, firstRead, firstRead + 1, 3 * firstRead, 3*firstRead + 1, 2 * lastRead, 3*lastRead + 7} {
		text := bytes.Repeat([]byte("0123456789a"), length/11+1)[:length]
		for name, src := range map[string]io.Reader{"at once": bytes.NewReader(text), "by halves": iotest.HalfReader(bytes.NewReader(text)),
			"data with the end": iotest.DataErrReader(bytes.NewReader(text))} {
			if got, err := readAll(src, int64(length)); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%d bytes %s: %d bytes, error %v", length, name, len(got), err)
			}
		}
		if _, err := readAll(io.MultiReader(bytes.NewReader(text), iotest.ErrReader(io.ErrUnexpectedEOF)), 8*lastRead); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes and a cut: %v", length, err)
		}
		var large *wire.TooLargeError
		if _, err := readAll(bytes.NewReader(append(text, 'x')), int64(length)); !errors.As(err, &large) || large.Limit != int64(length) {
			t.Errorf("a byte more than %d: %v", length, err)
		}
	}
}

// TestAnEndlessAnswerTakesItsLimit checks how much is allocated for an answer without an end. It does not run beside others.
func TestAnEndlessAnswerTakesItsLimit(t *testing.T) {
	const limit = 64 << 20
	head := http.Header{"Content-Type": {"multipart/mixed; boundary=b"}, headerVersion: {"v"}, headerNext: {"1"}}
	body := io.MultiReader(strings.NewReader("--b\r\nTimeblob-Role: open\r\n\r\n"), endless{})
	var err error
	if took := alloctest.Bytes(func() { _, err = DecodeHoldings(head, body, limit) }); err == nil || took > limit+8*lastRead {
		t.Errorf("it allocated %d bytes for at most %d, error %v", took, limit, err)
	}
}

// TestManyShortParts checks that the number of parts is bounded as their bytes are: the report of a part of one byte takes memory, too.
func TestManyShortParts(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	head := http.Header{"Content-Type": {"multipart/mixed; boundary=b"}, headerVersion: {"v"}, headerNext: {"1"}}
	for n, fails := range map[int]bool{limit / minPart: false, limit/minPart + 1: true} {
		body := strings.Repeat("--b\r\nTimeblob-Role: open\r\n\r\n\x80\r\n", n) + "--b--"
		var large *wire.TooLargeError
		if _, err := DecodeHoldings(head, strings.NewReader(body), limit); errors.As(err, &large) != fails {
			t.Errorf("%d parts: %v", n, err)
		}
	}
}

// TestLargeAnswersShareABudget reads answers at a time.
func TestLargeAnswersShareABudget(t *testing.T) {
	t.Parallel()
	shared := &budget{max: 3 << 20}
	read := func(length int64) (*metered, error) {
		m := &metered{src: io.LimitReader(endless{}, length), budget: shared}
		_, err := io.Copy(io.Discard, m)
		return m, err
	}
	first, err := read(freeBytes + 2<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, length := range []int64{1, freeBytes} { // which count in no budget
		if _, err := read(length); err != nil {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
	second, err := read(freeBytes + 2<<20)
	if !errors.Is(err, errBudget) {
		t.Errorf("two large ones: %v", err)
	}
	second.release()
	first.release()
	third, err := read(freeBytes + 3<<20)
	if err != nil || shared.used.Load() != 3<<20 {
		t.Errorf("when they are released: %v, %d used", err, shared.used.Load())
	}
	if third.release(); shared.used.Load() != 0 {
		t.Errorf("%d used at the end", shared.used.Load())
	}
}
