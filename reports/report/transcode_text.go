package report

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// text transcodes a string, which in most cases is what it looks like.
func (t *transcoder) text() error {
	t.at++
	begin := t.at
	for ; t.at < len(t.in); t.at++ {
		switch c := t.in[t.at]; {
		case c == '"':
			return t.raw(t.in[begin:t.at])
		case c == '\\':
			return t.escaped(begin)
		case c < ' ':
			return t.unexpected()
		}
	}
	return ErrTruncated
}

// raw writes a string that ends here.
func (t *transcoder) raw(s []byte) error {
	t.at++
	if !utf8.Valid(s) {
		s = repaired(s)
	}
	t.out = appendRaw(t.out, s)
	return nil
}

// repaired returns a copy in which each byte that is no part of a character is
// U+FFFD.
func repaired(s []byte) []byte {
	fixed := make([]byte, 0, len(s)+len(s)/4)
	for len(s) > 0 {
		c, n := utf8.DecodeRune(s)
		fixed = utf8.AppendRune(fixed, c)
		s = s[n:]
	}
	return fixed
}

// escaped transcodes the string that begins there, from the first escape on,
// which stands here.
func (t *transcoder) escaped(begin int) error {
	t.scratch = append(t.scratch[:0], t.in[begin:t.at]...)
	for t.at < len(t.in) {
		switch c := t.in[t.at]; {
		case c == '"':
			return t.raw(t.scratch)
		case c == '\\':
			if err := t.escape(); err != nil {
				return err
			}
		case c < ' ':
			return t.unexpected()
		default:
			t.scratch = append(t.scratch, c)
			t.at++
		}
	}
	return ErrTruncated
}

// escapes are what may follow a backslash, and what it stands for.
const escapes, escapees = `"\/bfnrt`, "\"\\/\b\f\n\r\t"

// escape resolves an escape into scratch.
func (t *transcoder) escape() error {
	if t.at++; t.at == len(t.in) {
		return ErrTruncated
	}
	c := t.in[t.at]
	if c == 'u' {
		return t.unicode()
	}
	i := strings.IndexByte(escapes, c)
	if i < 0 {
		return t.unexpected()
	}
	t.scratch = append(t.scratch, escapees[i])
	t.at++
	return nil
}

// unicode resolves the escape of a character by number, or of two of them that
// are one character.
func (t *transcoder) unicode() error {
	c, err := t.hex()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(c) {
		c = t.pair(c)
	}
	t.scratch = utf8.AppendRune(t.scratch, c)
	return nil
}

// pair returns the character that a half is of, with the other half if that
// stands here; U+FFFD otherwise.
func (t *transcoder) pair(half rune) rune {
	if !bytes.HasPrefix(t.in[t.at:], []byte(`\u`)) {
		return utf8.RuneError
	}
	begin := t.at
	t.at++
	other, err := t.hex()
	c := utf16.DecodeRune(half, other)
	if err != nil || c == utf8.RuneError {
		t.at = begin // another character, or an error that is met again
	}
	return c
}

// hex consumes a u and four hexadecimal digits.
func (t *transcoder) hex() (c rune, err error) {
	for range 4 {
		if t.at++; t.at == len(t.in) {
			return 0, ErrTruncated
		}
		digit := strings.IndexByte("0123456789abcdef", t.in[t.at]|0x20)
		if digit < 0 || t.in[t.at] < '0' {
			return 0, t.unexpected()
		}
		c = c<<4 | rune(digit)
	}
	t.at++
	return c, nil
}
