package cli

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports"
)

// TimeHelp is the part of help about TIME. reports.ParseTime reads every form except the last two.
const TimeHelp = `A TIME is RFC 3339, as 2026-11-22T07:34:30.5Z; or Unix time, in which a number is taken
for seconds below 1e11 (the year 5138), milliseconds below 1e14, microseconds below 1e17 and
nanoseconds from there on, so that what is finer than seconds begins in March 1973; it may be negative
and have a fraction; or the word now; or an offset from now, as -15m.`

// Instant is a flag that holds a TIME.
type Instant struct {
	time.Time
	Text string // as given; empty for none
	now  func() time.Time
}

func (i *Instant) String() string { return i.Text }

// IsNow reports whether the flag's text is "now".
func (i *Instant) IsNow() bool { return i.Text == "now" }

// Set reads a TIME. The empty text means none.
func (i *Instant) Set(text string) (err error) {
	i.Text, i.Time = text, time.Time{}
	if text != "" {
		i.Time, err = parseTime(text, i.now())
	}
	return err
}

// Instant defines a flag that holds a TIME.
func (f *Flags) Instant(name, usage string) *Instant {
	i := &Instant{now: f.now}
	f.Var(i, name, usage)
	return i
}

// parseTime reads a TIME in the forms of TimeHelp.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	if offset, err := time.ParseDuration(text); err == nil && strings.ContainsAny(text[:1], "+-") {
		return now.Add(offset), nil
	}
	t, err := reports.ParseTime(text)
	if wrong, ok := errors.AsType[*reports.TimeError](err); ok { // package flag names the text
		return t, fmt.Errorf("%s; or now, or an offset such as -15m", wrong.Advice())
	}
	return t, err
}

// InRange returns an error for a time that does not fit into Unix nanoseconds.
func InRange(t time.Time) error {
	if t.Before(time.Unix(0, math.MinInt64)) || t.After(time.Unix(0, math.MaxInt64)) {
		return fmt.Errorf("%s is not between the years 1678 and 2262", human.Time(t))
	}
	return nil
}
