package report

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/tinylib/msgp/msgp"
)

// transcode turns JSON, as RFC 8259 has it, into msgpack, so that one decoder
// and its limits serve both. Times stay text. What is not UTF-8 becomes U+FFFD,
// as with encoding/json, halves of surrogate pairs included.
func transcode(text []byte) ([]byte, error) {
	t := transcoder{in: text, out: make([]byte, 0, len(text)-len(text)/4)}
	if err := t.value(0); err != nil {
		return nil, err
	}
	if t.space(); t.at < len(t.in) {
		return nil, ErrTrailing
	}
	return t.out, nil
}

// A transcoder has read in up to at, and written out.
type transcoder struct {
	in, out []byte
	at      int
	scratch []byte // a string without its escapes
}

// space skips white space.
func (t *transcoder) space() {
	for t.at < len(t.in) && (t.in[t.at] == ' ' || t.in[t.at] == '\n' || t.in[t.at] == '\r' || t.in[t.at] == '\t') {
		t.at++
	}
}

// next returns the byte after white space, which it does not consume.
func (t *transcoder) next() (byte, error) {
	if t.space(); t.at == len(t.in) {
		return 0, ErrTruncated
	}
	return t.in[t.at], nil
}

// unexpected says that what stands here cannot.
func (t *transcoder) unexpected() error {
	if t.at >= len(t.in) {
		return ErrTruncated
	}
	return fmt.Errorf("%w: unexpected %q at byte %d", ErrCorrupt, t.in[t.at], t.at)
}

// value transcodes a value that is nested that deep.
func (t *transcoder) value(depth int) error {
	c, err := t.next()
	switch {
	case err != nil:
		return err
	case c == '{':
		return t.collection('}', depth)
	case c == '[':
		return t.collection(']', depth)
	case c == '"':
		return t.text()
	case c == '-' || '0' <= c && c <= '9':
		return t.number()
	case c == 't':
		return t.literal("true", mpTrue)
	case c == 'f':
		return t.literal("false", mpFalse)
	case c == 'n':
		return t.literal("null", mpNil)
	}
	return t.unexpected()
}

func (t *transcoder) literal(name string, as byte) error {
	for i := range name {
		if t.at == len(t.in) || t.in[t.at] != name[i] {
			return t.unexpected()
		}
		t.at++
	}
	t.out = append(t.out, as)
	return nil
}

// collection transcodes an object or an array, which end tells.
func (t *transcoder) collection(end byte, depth int) error {
	if depth == maxDepth {
		return fmt.Errorf("%w: nested more than %d deep", ErrCorrupt, maxDepth)
	}
	t.at++
	begin := len(t.out)
	t.out = append(t.out, 0, 0, 0, 0, 0) // a header of the widest form, since the length is not known yet
	count := 0
	for ; ; count++ {
		more, err := t.more(end, count == 0)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if end == '}' {
			if err := t.key(); err != nil {
				return err
			}
		}
		if err := t.value(depth + 1); err != nil {
			return err
		}
	}
	t.header(begin, end, count)
	return nil
}

// more tells whether another element follows, and consumes what stands before
// it, or the end.
func (t *transcoder) more(end byte, first bool) (bool, error) {
	c, err := t.next()
	switch {
	case err != nil:
		return false, err
	case c == end:
		t.at++
		return false, nil
	case first:
		return true, nil
	case c != ',':
		return false, t.unexpected()
	}
	t.at++
	return true, nil
}

func (t *transcoder) key() error {
	c, err := t.next()
	if err != nil {
		return err
	}
	if c != '"' {
		return t.unexpected()
	}
	if err := t.text(); err != nil {
		return err
	}
	if c, err = t.next(); err != nil {
		return err
	}
	if c != ':' {
		return t.unexpected()
	}
	t.at++
	return nil
}

// smallCollection is how long the contents of a collection may be to be moved
// for the sake of a shorter header.
const smallCollection = 64

// header writes the header of a collection that begins there.
func (t *transcoder) header(begin int, end byte, count int) {
	short, long := byte(mpFixList), byte(mpList32)
	if end == '}' {
		short, long = mpFixMap, mpMap32
	}
	if contents := t.out[begin+5:]; count < 16 && len(contents) <= smallCollection {
		t.out[begin] = short | byte(count)
		t.out = append(t.out[:begin+1], contents...)
		return
	}
	t.out[begin] = long
	binary.BigEndian.PutUint32(t.out[begin+1:], uint32(count))
}

// number transcodes a number: as an integer where it is one of 64 bits.
func (t *transcoder) number() error {
	begin := t.at
	if t.in[t.at] == '-' {
		t.at++
	}
	if t.at < len(t.in) && t.in[t.at] == '0' {
		t.at++
	} else if !t.digits() {
		return t.unexpected()
	}
	whole, err := t.fraction()
	if err != nil {
		return err
	}
	return t.numeral(string(t.in[begin:t.at]), whole)
}

// digits consumes digits; false where there are none.
func (t *transcoder) digits() bool {
	begin := t.at
	for t.at < len(t.in) && '0' <= t.in[t.at] && t.in[t.at] <= '9' {
		t.at++
	}
	return t.at > begin
}

// fraction consumes a fraction and an exponent; whole is true where there are
// neither.
func (t *transcoder) fraction() (whole bool, err error) {
	whole = true
	if t.at < len(t.in) && t.in[t.at] == '.' {
		whole = false
		if t.at++; !t.digits() {
			return false, t.unexpected()
		}
	}
	if t.at < len(t.in) && t.in[t.at]|0x20 == 'e' {
		whole = false
		t.at++
		if t.at < len(t.in) && (t.in[t.at] == '+' || t.in[t.at] == '-') {
			t.at++
		}
		if !t.digits() {
			return false, t.unexpected()
		}
	}
	return whole, nil
}

func (t *transcoder) numeral(n string, whole bool) error {
	if whole {
		if i, err := strconv.ParseInt(n, 10, 64); err == nil {
			t.out = msgp.AppendInt64(t.out, i)
			return nil
		}
		if u, err := strconv.ParseUint(n, 10, 64); err == nil {
			t.out = msgp.AppendUint64(t.out, u)
			return nil
		}
	}
	f, err := strconv.ParseFloat(n, 64)
	if err != nil {
		return fmt.Errorf("%w: %.40s is beyond what a number can be", ErrCorrupt, n)
	}
	t.out = msgp.AppendFloat64(t.out, f)
	return nil
}
