package cli

import (
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports/internal/human"
)

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
