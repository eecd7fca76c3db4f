package report

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/tinylib/msgp/msgp"
)

// MarshalJSON returns the report as Scope writes it in JSON: times in RFC 3339
// with nanoseconds, durations in nanoseconds. Equal reports give equal texts.
// Numbers that JSON does not have become null, bytes that are not UTF-8 become
// U+FFFD. An error means what it does for [AppendMsgpack].
func (r *Report) MarshalJSON() ([]byte, error) {
	return AppendJSON(nil, r)
}

// AppendJSON appends what MarshalJSON returns, and returns the longer slice.
func AppendJSON(dst []byte, r *Report) ([]byte, error) {
	return appendReport(dst, r, true)
}

// UnmarshalJSON replaces the report by the one in a text of JSON, see
// [DecodeJSON]. After an error the report is as it was.
func (r *Report) UnmarshalJSON(text []byte) error {
	decoded, err := DecodeJSON(text)
	if err != nil {
		return err
	}
	*r = *decoded
	return nil
}

// DecodeJSON reads a report from JSON, by the rules of [DecodeMsgpack]. An error
// is a [*SyntaxError]. It costs some twenty times the time of msgpack, and
// is proportional to the length of the text.
func DecodeJSON(text []byte) (*Report, error) {
	plain, err := transcode(text)
	if err != nil {
		return nil, &SyntaxError{Err: err}
	}
	return DecodeMsgpack(plain)
}

// transcode turns JSON into msgpack, so that one decoder and its limits serve
// both. Times stay text.
func transcode(text []byte) ([]byte, error) {
	t := transcoder{in: json.NewDecoder(bytes.NewReader(text))}
	t.in.UseNumber()
	for more := true; more; more = len(t.open) > 0 {
		if err := t.step(); err != nil {
			return nil, jsonError(err)
		}
	}
	if _, err := t.in.Token(); !errors.Is(err, io.EOF) {
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
	in   *json.Decoder
	out  []byte
	open []collection // that are not closed yet, the innermost last
}

// A collection is an object or an array that is being read.
type collection struct {
	header int // where its length stands in out
	count  int // of values and keys so far
}

func (t *transcoder) step() error {
	token, err := t.in.Token()
	if err != nil {
		return err
	}
	if d, ok := token.(json.Delim); ok && (d == '}' || d == ']') {
		t.close(d)
		return nil
	}
	if n := len(t.open); n > 0 {
		t.open[n-1].count++
	}
	return t.value(token)
}

func (t *transcoder) value(token json.Token) error {
	switch v := token.(type) {
	case json.Delim:
		return t.begin(v)
	case string:
		t.out = appendRaw(t.out, v)
	case json.Number:
		return t.number(v)
	case bool:
		t.out = msgp.AppendBool(t.out, v)
	default:
		t.out = append(t.out, mpNil)
	}
	return nil
}

// begin writes a header of the widest form, since the length is not known yet.
func (t *transcoder) begin(d json.Delim) error {
	if len(t.open) == maxDepth {
		return fmt.Errorf("%w: nested more than %d deep", ErrCorrupt, maxDepth)
	}
	header := msgp.AppendArrayHeader
	if d == '{' {
		header = msgp.AppendMapHeader
	}
	t.out = header(t.out, math.MaxUint32)
	t.open = append(t.open, collection{header: len(t.out) - 4})
	return nil
}

func (t *transcoder) close(d json.Delim) {
	last := len(t.open) - 1
	c := t.open[last]
	if d == '}' {
		c.count /= 2
	}
	binary.BigEndian.PutUint32(t.out[c.header:], uint32(c.count))
	t.open = t.open[:last]
}

func (t *transcoder) number(n json.Number) error {
	if i, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
		t.out = msgp.AppendInt64(t.out, i)
		return nil
	}
	if u, err := strconv.ParseUint(n.String(), 10, 64); err == nil {
		t.out = msgp.AppendUint64(t.out, u)
		return nil
	}
	f, err := n.Float64()
	if err != nil {
		return fmt.Errorf("%w: %.40s is beyond what a number can be", ErrCorrupt, n)
	}
	t.out = msgp.AppendFloat64(t.out, f)
	return nil
}
