package reports

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// TimeError says that a text is no time.
type TimeError struct{ Text string }

func (e *TimeError) Error() string {
	return fmt.Sprintf("%.80q is not a time from 1678 to 2262: %s", e.Text, e.Advice())
}

// zoneless are times that lack only the zone of RFC 3339, or that and the end.
var zoneless = []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"}

// Advice says what to write instead.
func (e *TimeError) Advice() string {
	for _, layout := range zoneless {
		if t, err := time.Parse(layout, e.Text); err == nil { // Parse also takes a fraction
			utc := t.Format(time.RFC3339Nano)
			return fmt.Sprintf("write %s for UTC, or an offset in place of the Z, as %s+01:00", utc, strings.TrimSuffix(utc, "Z"))
		}
	}
	return "give RFC 3339 such as 2026-11-22T07:34:30Z, or Unix seconds, milliseconds, microseconds or nanoseconds"
}

// ParseTime reads a time: RFC 3339 with any fraction, or a decimal number of
// Unix time, negative before 1970, with a fraction or not. Of a number n the
// magnitude tells the unit: |n| < 1e11 is seconds, up to the year 5138; below
// 1e14 milliseconds; below 1e17 microseconds; else nanoseconds. Digits below
// the nanosecond are cut off. The error is a *TimeError, also for a time that
// does not fit into an int64 of nanoseconds.
func ParseTime(text string) (time.Time, error) {
	if t, ok := parseUnix(text); ok {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Before(time.Unix(0, math.MinInt64)) || t.After(time.Unix(0, math.MaxInt64)) {
		return time.Time{}, &TimeError{text}
	}
	return t, nil
}

// parseUnix reads a number: the digits before the point tell the unit, and
// those after it fill up to nanoseconds.
func parseUnix(text string) (t time.Time, ok bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || whole[0] == '+' || strings.Trim(fraction, "0123456789") != "" {
		return t, false
	}
	places := placesOf(n)
	digits := whole + (fraction + "000000000")[:places]
	ns, err := strconv.ParseInt(digits, 10, 64)
	return time.Unix(0, ns), err == nil
}

// placesOf returns how many decimal places the unit of a Unix time is above
// the nanosecond.
func placesOf(n int64) int {
	switch {
	case n > -1e11 && n < 1e11:
		return 9
	case n > -1e14 && n < 1e14:
		return 6
	case n > -1e17 && n < 1e17:
		return 3
	}
	return 0
}
