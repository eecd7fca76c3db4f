package cli

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Retention is a flag that says how long values and their merges are kept, the
// shortest span first. A level that is not named is kept as long as the one
// below it. An empty list keeps everything for ever.
type Retention []Keep

// Keep is how long the merges of spans of one length are kept.
type Keep struct {
	Level time.Duration // the length of a span; 0 for values as they were stored
	For   time.Duration // at least an hour
}

// Raw returns how long values are kept as they were stored; 0 for ever.
func (r Retention) Raw() time.Duration {
	if len(r) == 0 || r[0].Level != 0 {
		return 0
	}
	return r[0].For
}

// Outlives reports whether merges are kept longer than the values in them.
func (r Retention) Outlives() bool {
	return r.Raw() > 0 && r[len(r)-1].For > r.Raw()
}

// Set reads a duration, which is for values as they were stored, or pairs of a
// level and a duration. An empty text and 0 keep everything.
func (r *Retention) Set(text string) error {
	*r = nil
	if d, err := parseDays(text); text == "" || err == nil && d == 0 {
		return nil
	} else if err == nil {
		*r = Retention{{For: d}}
		return atLeastAnHour(d)
	} else if !strings.Contains(text, "=") {
		return err
	}
	for pair := range strings.SplitSeq(text, ",") {
		keep, err := parseKeep(pair)
		if err != nil {
			return err
		}
		*r = append(*r, keep)
	}
	slices.SortFunc(*r, func(a, b Keep) int { return cmp.Compare(a.Level, b.Level) })
	return r.check()
}

// check compares the levels with each other.
func (r Retention) check() error {
	for i := 1; i < len(r); i++ {
		below, k := r[i-1], r[i]
		switch {
		case k.Level == below.Level:
			return fmt.Errorf("%s is given twice", k.name())
		case k.For < below.For:
			return fmt.Errorf("%s is kept for %v and %s for %v: a longer span must be kept at least as long as a shorter one",
				k.name(), days(k.For), below.name(), days(below.For))
		}
	}
	return nil
}

// parseKeep reads level=duration.
func parseKeep(pair string) (k Keep, err error) {
	level, keep, ok := strings.Cut(pair, "=")
	if !ok {
		return k, fmt.Errorf("%q must be a level, = and a duration, as raw=7d or 1h=400d", pair)
	}
	if level != "raw" {
		if k.Level, err = parseDays(level); err == nil && k.Level <= 0 {
			err = errors.New("must be above 0")
		}
		if err != nil {
			return k, fmt.Errorf("level %q: must be raw or the length of a span, as 1m, 1h or 1d", level)
		}
	}
	if k.For, err = parseDays(keep); err != nil {
		return k, fmt.Errorf("%s: %w", level, err)
	}
	if err := atLeastAnHour(k.For); err != nil {
		return k, fmt.Errorf("%s: %w", level, err)
	}
	return k, nil
}

func atLeastAnHour(d time.Duration) error {
	if d < time.Hour {
		return fmt.Errorf("%v: must be 0 or at least 1h", d)
	}
	return nil
}

var dayCount = regexp.MustCompile(`^([0-9]+)d`)

// parseDays reads a duration that may begin with a number of days.
func parseDays(text string) (time.Duration, error) {
	var d time.Duration
	if m := dayCount.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		if d = time.Duration(n) * 24 * time.Hour; err != nil || n > 106751 {
			return 0, fmt.Errorf("%q is more days than a duration holds", text)
		}
		if text = text[len(m[0]):]; text == "" {
			return d, nil
		}
	}
	rest, err := time.ParseDuration(text)
	switch {
	case err != nil || rest < 0:
		return 0, errors.New("must be a duration, as 7d, 720h or 1d12h")
	case d+rest < d:
		return 0, fmt.Errorf("%q is longer than a duration can be", text)
	}
	return d + rest, nil
}

// String returns the value as text that Set reads.
func (r *Retention) String() string {
	switch {
	case len(*r) == 0:
		return "0"
	case len(*r) == 1 && (*r)[0].Level == 0:
		return days((*r)[0].For)
	}
	pairs := make([]string, len(*r))
	for i, k := range *r {
		pairs[i] = k.name() + "=" + days(k.For)
	}
	return strings.Join(pairs, ",")
}

// name returns the level as it is written.
func (k Keep) name() string {
	if k.Level == 0 {
		return "raw"
	}
	return days(k.Level)
}

// days writes a duration, in days where it is a whole number of them.
func days(d time.Duration) string {
	if d > 0 && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
