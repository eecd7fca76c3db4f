package telemetry

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// traced is an error that adds a stack trace to its text when it is formatted with %+v, as Pebble's errors do.
type traced struct{}

func (traced) Error() string { return "the disk is full" }

func (traced) Format(s fmt.State, _ rune) {
	fmt.Fprint(s, "the disk is full")
	if s.Flag('+') {
		fmt.Fprint(s, " -- stack trace:")
	}
}

func TestErrorsAreLoggedAsTheirText(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		var b bytes.Buffer
		(&Logging{format: format, level: "info"}).Logger(&b).Warn("it fails", "err", traced{}, "n", 3, "none", nil)
		if log := b.String(); !strings.Contains(log, "the disk is full") || strings.Contains(log, "stack trace") {
			t.Errorf("%s: %s", format, log)
		}
	}
}
