package httpapi

import (
	"errors"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports"
)

func TestParseTime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0":                              0,
		"1":                              1e9,
		"-1":                             -1e9,
		"1.5":                            15e8,
		"-0.5":                           -5e8,
		"99999999999":                    -1, // too late for nanoseconds
		"9223372036":                     9223372036e9,
		"1795332870":                     1795332870e9,
		"1795332870.932684457":           1795332870932684457,
		"1795332870.9326844579":          1795332870932684457,
		"1795332870932":                  1795332870932e6,
		"1795332870932.5":                1795332870932_500000,
		"1795332870932684":               1795332870932684e3,
		"1795332870932684457":            1795332870932684457,
		"1795332870932684457.9":          1795332870932684457,
		"-1795332870932684457":           -1795332870932684457,
		"100000000000":                   1e17, // the least that is milliseconds
		"100000000000000":                1e17, // microseconds
		"100000000000000000":             1e17, // nanoseconds
		"9223372036854775807":            math.MaxInt64,
		"-9223372036854775808":           math.MinInt64,
		"9223372036854775808":            -1,
		"2026-11-22T07:34:30Z":           1795332870e9,
		"2026-11-22T09:34:30.5+02:00":    1795332870e9 + 5e8,
		"2262-04-11T23:47:16.854775807Z": math.MaxInt64,
		"2262-04-11T23:47:16.854775808Z": -1,
		"1677-09-21T00:12:43.145224192Z": math.MinInt64,
		"1677-09-21T00:12:43.145224191Z": -1,
		"":                               -1, ".": -1, ".5": -1, "-": -1, "+1": -1, "1e9": -1, "0x10": -1, "1_000": -1, "1.5.5": -1, "1.-5": -1, "1 ": -1,
		"2026-11-22": -1, "2026-11-22T25:00:00Z": -1, "now": -1, "١": -1,
	} {
		got, err := reports.ParseTime(text)
		if want == -1 {
			if !isA[*reports.TimeError](err) {
				t.Errorf("%q: %v, %v", text, got, err)
			}
			continue
		}
		if err != nil || got.UnixNano() != want {
			t.Errorf("%q: %d %v, want %d", text, got.UnixNano(), err, want)
		}
	}
}

func FuzzQuestion(f *testing.F) {
	for _, query := range []string{"", "timestamp=1795332870", "timestamp=2026-11-22T09:34:30.5+02:00&window=1h",
		"start=1&end=2", "start=2&end=1", "window=-1s", "timestamp=-9223372036854775808&window=9999999h", "%zz", "a;b",
		"timestamp=1&timestamp=2", "hideCommandLineArguments", "hideEnvironmentVariables=maybe", "end=99999999999999999999"} {
		f.Add(query)
	}
	const window = 15 * time.Second
	f.Fuzz(func(t *testing.T, query string) {
		p, err := parseParams(query, append(censorParams, rangeParams...)...)
		if err == nil {
			_, err = p.censor()
		}
		var q reports.Question
		if err == nil {
			q, err = p.question(noon, window)
		}
		if err != nil {
			if r, ok := errors.AsType[*refusal](err); !ok || r.status != http.StatusBadRequest || r.text == "" {
				t.Fatalf("%q: %v", query, err)
			}
			return
		}
		if q.To.Before(q.From) || !time.Unix(0, q.From.UnixNano()).Equal(q.From) || !time.Unix(0, q.To.UnixNano()).Equal(q.To) {
			t.Fatalf("%q: from %v to %v", query, q.From, q.To)
		}
		length := q.To.Sub(q.From)
		if q.Open {
			length -= window
		}
		if !q.Ranged && length != window || q.Open && !q.To.Equal(noon.Add(window)) {
			t.Fatalf("%q: %+v", query, q)
		}
	})
}

func FuzzChoices(f *testing.F) {
	for _, line := range []string{"", "gzip;q=0.5, *;q=0", ",,;;q=", "a;q=1;q=0", "application/msgpack; q = 1"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for _, c := range choices([]string{line}) {
			if c.name == "" || !(c.weight >= 0 && c.weight <= 1) {
				t.Fatalf("%q: %+v", line, c)
			}
		}
	})
}
