package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tinylib/msgp/msgp"

	"github.com/timeblob/timeblob/reports/report"
)

// AppendJSON appends the report as Scope writes it in JSON, and returns the
// longer slice. Times are RFC 3339 with nanoseconds, durations are nanoseconds.
// Equal reports give equal texts. Numbers that JSON does not have become null,
// bytes that are not UTF-8 become U+FFFD. The errors are the errors of
// [AppendMsgpack].
func AppendJSON(dst []byte, r *report.Report) ([]byte, error) {
	return appendReport(dst, r, true)
}

// byteOrderMark is what some editors write before a text in UTF-8.
const byteOrderMark = "\ufeff"

// DecodeJSON reads a report from JSON by the rules of [DecodeMsgpack]. The text
// may begin with a byte order mark. An error is a [*SyntaxError]. It takes about
// three times as long as decoding msgpack, and memory in proportion to the length
// of the text.
func DecodeJSON(text []byte) (*report.Report, error) {
	plain, err := transcode(bytes.TrimPrefix(text, []byte(byteOrderMark)))
	if err != nil {
		return nil, &SyntaxError{Err: err}
	}
	r, _, err := decodeMsgpack(plain, min(len(plain), len(text)))
	return r, err
}

// transcode turns JSON, as RFC 8259 has it, into msgpack, so that one decoder
// and its limits serve both. Times stay text. What is not UTF-8 becomes U+FFFD,
// as with encoding/json, halves of surrogate pairs included.
func transcode(text []byte) ([]byte, error) {
	t := transcoder{out: make([]byte, 0, len(text)-len(text)/4), most: 3*len(text) + roomForOne, in: jsontext.NewDecoder(bytes.NewBuffer(text),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))}
	for more := true; more; more = len(t.open) > 0 {
		if err := t.step(); err != nil {
			return nil, jsonError(err)
		}
	}
	if _, err := t.in.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, ErrTrailing
	}
	return t.out, nil
}

func jsonError(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrTruncated
	case errors.Is(err, ErrCorrupt):
		return err
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

type transcoder struct {
	in   *jsontext.Decoder
	out  []byte
	most int          // how long out can get
	open []collection // that are not closed yet, the innermost last
}

// A collection is an object or an array that is being read.
type collection struct {
	header int // where its length stands in out
	count  int // of values and keys so far
}

// roomForOne is how much a value or a header may take that is not a text.
const roomForOne = 16

// grow makes room for n bytes more and a value, in few steps.
func (t *transcoder) grow(n int) {
	if n += roomForOne; cap(t.out)-len(t.out) < n {
		more := max(n, min(cap(t.out), t.most-len(t.out)))
		t.out = slices.Grow(t.out, more)
	}
}

// step transcodes a value, or the begin or the end of one that holds others.
func (t *transcoder) step() error {
	t.grow(0)
	kind := t.in.PeekKind()
	if kind == '}' || kind == ']' {
		_, err := t.in.ReadToken()
		if err == nil {
			t.close(kind)
		}
		return err
	}
	if n := len(t.open); n > 0 {
		t.open[n-1].count++
	}
	if kind == '{' || kind == '[' {
		return t.begin(kind)
	}
	return t.value(kind)
}

// begin writes a header of the widest form, since the length is not known yet.
func (t *transcoder) begin(kind jsontext.Kind) error {
	if len(t.open) == maxDepth {
		return fmt.Errorf("%w: nested more than %d deep", ErrCorrupt, maxDepth)
	}
	header := msgp.AppendArrayHeader
	if kind == '{' {
		header = msgp.AppendMapHeader
	}
	t.out = header(t.out, math.MaxUint32)
	t.open = append(t.open, collection{header: len(t.out) - 4})
	_, err := t.in.ReadToken()
	return err
}

// smallCollection is how long the contents of a collection may be, in bytes, to
// be moved for the sake of a shorter header.
const smallCollection = 64

func (t *transcoder) close(kind jsontext.Kind) {
	last := len(t.open) - 1
	c, short := t.open[last], byte(mpFixList)
	if kind == '}' {
		c.count, short = c.count/2, mpFixMap
	}
	t.open = t.open[:last]
	if contents := t.out[c.header+4:]; c.count < 16 && len(contents) <= smallCollection {
		t.out[c.header-1] = short | byte(c.count)
		t.out = append(t.out[:c.header], contents...)
		return
	}
	binary.BigEndian.PutUint32(t.out[c.header:], uint32(c.count))
}

// value transcodes a value that holds no others.
func (t *transcoder) value(kind jsontext.Kind) error {
	v, err := t.in.ReadValue()
	if err != nil {
		return err
	}
	switch kind {
	case '"':
		t.text(v)
	case '0':
		return t.number(v)
	case 't', 'f':
		t.out = msgp.AppendBool(t.out, kind == 't')
	default:
		t.out = append(t.out, mpNil)
	}
	return nil
}

// text writes a string behind a header of the widest form, and then moves it to
// where the header that it needs ends.
func (t *transcoder) text(quoted []byte) {
	const widest = 5
	if len(quoted) > smallCollection && !utf8.Valid(quoted) {
		t.grow(3 * len(quoted)) // each byte may become U+FFFD
	}
	t.grow(len(quoted))
	begin := len(t.out)
	t.out = append(t.out, make([]byte, widest)...)
	t.out, _ = jsontext.AppendUnquote(t.out, quoted) // fails for what is not UTF-8, and has replaced it
	contents := t.out[begin+widest:]
	head := appendRawHeader(t.out[:begin], len(contents))
	t.out = append(head, contents...)
}

func (t *transcoder) number(text []byte) error {
	if bytes.ContainsAny(text, ".eE") {
		return t.float(text)
	}
	if i, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		t.out = msgp.AppendInt64(t.out, i)
		return nil
	}
	if u, err := strconv.ParseUint(string(text), 10, 64); err == nil {
		t.out = msgp.AppendUint64(t.out, u)
		return nil
	}
	return t.float(text)
}

func (t *transcoder) float(text []byte) error {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return fmt.Errorf("%w: %.40s is beyond what a number can be", ErrCorrupt, text)
	}
	t.out = msgp.AppendFloat64(t.out, f)
	return nil
}
