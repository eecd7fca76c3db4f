package cli

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const day = 24 * time.Hour

func TestRetention(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Retention{
		"":                            {},
		"0":                           {},
		"720h":                        {{0, 30 * day}},
		"30d":                         {{0, 30 * day}},
		"1d12h":                       {{0, 36 * time.Hour}},
		"raw=7d":                      {{0, 7 * day}},
		"raw=7d,1m=30d,1h=400d":       {{0, 7 * day}, {time.Minute, 30 * day}, {time.Hour, 400 * day}},
		"1h=400d,raw=168h,1d=100000d": {{0, 7 * day}, {time.Hour, 400 * day}, {day, 100000 * day}},
		"raw=1h,1m=1h":                {{0, time.Hour}, {time.Minute, time.Hour}},
	} {
		var got Retention
		if err := got.Set(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		var again Retention
		if err := again.Set(got.String()); err != nil || !slices.Equal(again, got) {
			t.Errorf("%q is written as %q, which is read as %+v, %v", text, got.String(), again, err)
		}
	}
}

func TestRetentionRefuses(t *testing.T) {
	t.Parallel()
	for text, why := range map[string]string{
		"7":               "7d, 720h or 1d12h",
		"30m":             "at least 1h",
		"-720h":           "must be a duration",
		"raw=30m":         "raw: 30m",
		"raw":             "must be a duration",
		"raw=7d,1m":       `"1m" must be a level`,
		"raw=7d,raw=8d":   "raw is given twice",
		"60s=7d,1m=8d":    "1m is given twice",
		"raw=7d,1m=6d":    "a longer span must be kept at least as long",
		"0=7d":            `level "0"`,
		"week=7d":         `level "week"`,
		"raw=":            "raw: must be a duration",
		"999999999999d":   "more days than a duration holds",
		"106751d9999999h": "must be a duration",
	} {
		var r Retention
		if err := r.Set(text); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %q", text, err, why)
		}
	}
}
