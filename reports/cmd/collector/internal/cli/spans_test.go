package cli

import (
	"strings"
	"testing"
)

func TestSpans(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"1m,1h,24h":    "1m,1h,1d",
		"15s":          "15s",
		"1m,90m,1d12h": "1m,1h30m,36h",
	} {
		var s Spans
		if err := s.Set(text); err != nil || s.String() != want {
			t.Errorf("%q: %s, %v, want %s", text, s.String(), err, want)
		}
	}
	for text, why := range map[string]string{
		"":       "with commas",
		"1m, 1h": "with commas",
		"1h,1m":  "multiple of the one before, 1h",
		"1m,1m":  "multiple",
		"1m,90s": "multiple of the one before, 1m",
		"500ms":  "whole seconds",
		"1500ms": "whole seconds",
		"1m,-1h": "with commas",
		"minute": "with commas",
	} {
		var s Spans
		if err := s.Set(text); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %q", text, err, why)
		}
	}
}
