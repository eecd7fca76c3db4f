// Package human writes sizes, counts, times and messages for people, and reads the
// sizes that people write.
package human

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Count writes a whole number with a thin space between its thousands.
func Count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, c := range digits {
		if left := len(digits) - i; i > 0 && left%3 == 0 && digits[i-1] != '-' {
			b.WriteRune('\u202f')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// Percent writes a fraction of 1 as a percentage, such as 12.5 %.
func Percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// Duration writes a duration in its two largest units, such as 2 h 5 min, and one
// below a second in milliseconds.
func Duration(d time.Duration) string {
	units := []struct {
		name string
		of   time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}}
	for i, u := range units {
		if d < u.of {
			continue
		}
		text := fmt.Sprintf("%d %s", d/u.of, u.name)
		if i+1 < len(units) && d%u.of >= units[i+1].of {
			text += fmt.Sprintf(" %d %s", d%u.of/units[i+1].of, units[i+1].name)
		}
		return text
	}
	if d >= time.Millisecond {
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	}
	return "0 s"
}

// Stamp writes an instant in UTC with nine decimals, so that all stamps have the same length.
func Stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z") }

// Plural writes a number and a noun, such as "1 report" or "2 reports".
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Count(int64(n)) + " " + noun + "s"
}

// Line turns a text into one line of at most 499 bytes, so that a client's input cannot
// fill a log. It does not add a newline.
func Line(text string) string {
	const most = 500 - len("…\n")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return Flat(text)
}

// Flat replaces each control character of a text with a space.
func Flat(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' {
			return ' '
		}
		return c
	}, text)
}

// Time writes an instant in UTC to the nanosecond, without trailing zeros. It writes
// the zero time as "-".
func Time(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339Nano)
}
