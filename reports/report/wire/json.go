package wire

import "github.com/timeblob/timeblob/reports/report"

// AppendJSON appends the report as Scope writes it in JSON, and returns the
// longer slice. Times are RFC 3339 with nanoseconds, durations are nanoseconds.
// Equal reports give equal texts. Numbers that JSON does not have become null,
// bytes that are not UTF-8 become U+FFFD. The errors are those of
// [AppendMsgpack].
func AppendJSON(dst []byte, r *report.Report) ([]byte, error) {
	return appendReport(dst, r, true)
}

// DecodeJSON reads a report from JSON, by the rules of [DecodeMsgpack]. An error
// is a [*SyntaxError]. It takes about three times as long as decoding msgpack,
// and memory in proportion to the length of the text.
func DecodeJSON(text []byte) (*report.Report, error) {
	plain, err := transcode(text)
	if err != nil {
		return nil, &SyntaxError{Err: err}
	}
	r, _, err := decodeMsgpack(plain, min(len(plain), len(text)))
	return r, err
}
