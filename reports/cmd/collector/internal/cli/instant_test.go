package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/human"
)

// TestTimesWithoutZone checks that the error says how to write the time.
func TestTimesWithoutZone(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-11-22T07:34:30":   "write 2026-11-22T07:34:30Z for UTC, or an offset in place of the Z, as 2026-11-22T07:34:30+01:00",
		"2026-11-22 07:34:30.5": "write 2026-11-22T07:34:30.5Z for UTC",
		"2026-11-22T07:34":      "write 2026-11-22T07:34:00Z for UTC",
		"2026-11-22":            "write 2026-11-22T00:00:00Z for UTC",
		"2026-02-30T00:00:00":   "give RFC 3339",
		"tomorrow":              "give RFC 3339",
	} {
		if _, err := parseTime(text, time.Now()); err == nil || !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), "; or now, or an offset such as -15m") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 7, 34, 30, 500, time.UTC)
	for text, want := range map[string]string{
		"now":                           "2026-11-22T07:34:30.0000005Z",
		"-15m":                          "2026-11-22T07:19:30.0000005Z",
		"+1h0.5s":                       "2026-11-22T08:34:30.5000005Z",
		"2026-11-22T08:34:30.25+01:00":  "2026-11-22T07:34:30.25Z",
		"0":                             "1970-01-01T00:00:00Z",
		"-1.5":                          "1969-12-31T23:59:58.5Z",
		"1795332870":                    "2026-11-22T07:34:30Z",
		"1795332870.932684457":          "2026-11-22T07:34:30.932684457Z",
		"1795332870932":                 "2026-11-22T07:34:30.932Z",
		"1795332870932684":              "2026-11-22T07:34:30.932684Z",
		"1795332870932684457":           "2026-11-22T07:34:30.932684457Z",
		"1795332870932.684457":          "2026-11-22T07:34:30.932684457Z",
		"":                              "",
		"15m":                           "",
		"-":                             "",
		"+":                             "",
		"tomorrow":                      "",
		"9999-01-01T00:00:00Z":          "",
		"99999999999999999999999999999": "",
		"1e9":                           "",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, err := parseTime(text, now)
			if want == "" {
				if err == nil {
					t.Errorf("%q is taken for %v", text, got)
				}
				return
			}
			if err != nil || human.Time(got) != want {
				t.Errorf("%q is %s, %v, want %s", text, human.Time(got), err, want)
			}
		})
	}
}
