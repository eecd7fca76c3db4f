package report

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
// is a [*SyntaxError]. It costs some three times the time of msgpack, and
// memory in proportion to the length of the text.
func DecodeJSON(text []byte) (*Report, error) {
	plain, err := transcode(text)
	if err != nil {
		return nil, &SyntaxError{Err: err}
	}
	return DecodeMsgpack(plain)
}
