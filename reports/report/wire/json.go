package wire

import (
	"bytes"

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
