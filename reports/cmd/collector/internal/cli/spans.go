package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Spans is a flag that holds the lengths of spans of time, shortest first.
type Spans []time.Duration

// Set reads durations with commas between them.
func (s *Spans) Set(text string) error {
	var spans Spans
	for part := range strings.SplitSeq(text, ",") {
		d, err := parseDays(part)
		if err != nil {
			return errors.New("must be durations with commas between them, as 1m,1h,1d")
		}
		if n := len(spans); d < time.Second || d%time.Second != 0 {
			return fmt.Errorf("%s: a span must be of whole seconds, at least 1s", part)
		} else if n > 0 && (d <= spans[n-1] || d%spans[n-1] != 0) {
			return fmt.Errorf("%s: a span must be a multiple of the one before, %s", part, days(spans[n-1]))
		}
		spans = append(spans, d)
	}
	*s = spans
	return nil
}

// Has reports whether a length is among the spans.
func (s Spans) Has(d time.Duration) bool { return slices.Contains(s, d) }

func (s *Spans) String() string {
	texts := make([]string, len(*s))
	for i, d := range *s {
		texts[i] = days(d)
	}
	return strings.Join(texts, ",")
}
