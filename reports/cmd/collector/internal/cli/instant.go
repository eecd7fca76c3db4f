package cli

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/internal/human"
)

// TimeHelp is what help says about TIME; reports.ParseTime reads all but the
// last two.
const TimeHelp = `A TIME is RFC 3339, as 2026-11-22T07:34:30.5Z; or Unix time, in which a number is taken
for seconds below 1e11 (the year 5138), milliseconds below 1e14, microseconds below 1e17 and
nanoseconds from there on, so that what is finer than seconds begins in March 1973; it may be negative
and have a fraction; or the word now; or an offset from now, as -15m.`

// Instant is a flag that holds a TIME.
type Instant struct {
	time.Time
	Text string // as it was given; empty when it was not
	now  func() time.Time
}

func (i *Instant) String() string { return i.Text }

// IsNow tells whether the present was given by its name.
func (i *Instant) IsNow() bool { return i.Text == "now" }

// Set reads a TIME. The empty text, the default, is none.
func (i *Instant) Set(text string) (err error) {
	i.Text, i.Time = text, time.Time{}
	if text != "" {
		i.Time, err = parseTime(text, i.now())
	}
	return err
}

// Instant defines a flag of a TIME.
func (f *Flags) Instant(name, usage string) *Instant {
	i := &Instant{now: f.now}
	f.Var(i, name, usage)
	return i
}

// parseTime reads a TIME as timeForms says.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	if offset, err := time.ParseDuration(text); err == nil && strings.ContainsAny(text[:1], "+-") {
		return now.Add(offset), nil
	}
	t, err := reports.ParseTime(text)
	if err != nil {
		return t, fmt.Errorf("%w, now, or an offset such as -15m", err)
	}
	return t, nil
}

// InRange refuses times that do not fit into Unix nanoseconds, as offsets may.
func InRange(t time.Time) error {
	if t.Before(time.Unix(0, math.MinInt64)) || t.After(time.Unix(0, math.MaxInt64)) {
		return fmt.Errorf("%s is not between the years 1678 and 2262", human.Time(t))
	}
	return nil
}
