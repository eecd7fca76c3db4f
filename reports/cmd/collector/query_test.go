package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

func TestQuestionsToCollectors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		want string
	}{
		"the present":       {[]string{"--at", "now"}, nil, ""},
		"now by a window":   {[]string{"--at", "now", "--window", "1m30s"}, nil, "window=1m30s"},
		"now by a variable": {[]string{"--at", "now"}, map[string]string{"COLLECTOR_WINDOW": "10s"}, "window=10s"},
		"a range until now": {[]string{"--start", "50", "--end", "now"}, nil, "start=1970-01-01T00%3A00%3A50Z"},
		"a variable's end":  {[]string{"--at", "1.5"}, map[string]string{"COLLECTOR_END": "now"}, "timestamp=1970-01-01T00%3A00%3A01.5Z"},
		"a variable's now": {[]string{"--start", "50", "--end", "60"}, map[string]string{"COLLECTOR_AT": "now"},
			"end=1970-01-01T00%3A01%3A00Z&start=1970-01-01T00%3A00%3A50Z"},
		"a partial answer":  {[]string{"--at", "now", "--partial"}, nil, "partial=true"},
		"an instant":        {[]string{"--at", "1.5"}, nil, "timestamp=1970-01-01T00%3A00%3A01.5Z"},
		"a window":          {[]string{"--at", "60", "--window", "10s"}, nil, "end=1970-01-01T00%3A01%3A00Z&start=1970-01-01T00%3A00%3A50Z"},
		"a variable window": {[]string{"--at", "60"}, map[string]string{"COLLECTOR_WINDOW": "10s"}, "end=1970-01-01T00%3A01%3A00Z&start=1970-01-01T00%3A00%3A50Z"},
		"a range": {[]string{"--start", "50", "--end", "60"}, map[string]string{"COLLECTOR_WINDOW": "1s"},
			"end=1970-01-01T00%3A01%3A00Z&start=1970-01-01T00%3A00%3A50Z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := &question{}
			f := cli.NewFlags("query")
			q.define(f)
			_, err := f.ParseArgs(append(c.args, "--from", "h"), func(n string) (string, bool) { v, ok := c.env[n]; return v, ok })
			if got := q.parameters().Encode(); err != nil || got != c.want {
				t.Errorf("asks %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// A command reads the clock once, for all its times.
func TestOffsetsAreFromOneNow(t *testing.T) {
	t.Parallel()
	for from, want := range map[string]string{"--data=d": "Z (15 min)", "--from=h": " to now (15 min)"} {
		q := &question{}
		f := cli.NewFlags("query")
		q.define(f)
		_, err := f.ParseArgs([]string{from, "--start", "-15m", "--end", "now"}, func(string) (string, bool) { return "", false })
		if got := q.rangeFact().Value; err != nil || !strings.HasSuffix(got, want) {
			t.Errorf("%s: the range is %q, %v, want %q", from, got, err, want)
		}
	}
}

// A query service's missing parts are reported on standard error. Standard output has the report only.
func TestQueryNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	for missing, want := range map[string]string{
		"":         "",
		"a:1, b:2": "collector: warning: the answer may lack reports: a:1, b:2\n",
	} {
		s := newStub(t, func(w http.ResponseWriter, _ int) {
			w.Header().Set("Timeblob-Missing", missing)
			body, err := wire.AppendMsgpack(nil, report.New())
			if err != nil {
				t.Error(err)
			}
			w.Write(body)
		})
		r := collect(t, "query", "--from", s.URL, "--at", "now", "--json")
		if r.code != 0 || r.stderr != want || !json.Valid([]byte(r.stdout)) {
			t.Errorf("missing %q: exit %d, said %q, %q", missing, r.code, r.stderr, r.stdout)
		}
	}
}

// TestQueryRounds asks for the nearest range in a store without roll-ups, which is the range that was asked for. The answer does
// not name a range of years, which is read hour by hour.
func TestQueryRounds(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	must(t, "import", "--data", data, write(t, filepath.Join(t.TempDir(), "5.json"), sample("host", 1)))
	for end, want := range map[string]string{
		"1":          "answered  1970-01-01T00:00:00Z to 1970-01-01T00:00:01Z\n",
		"1700000000": "",
	} {
		said := must(t, "query", "--data", data, "--round", "--start", "0", "--end", end)
		if !strings.Contains(said, "1 stored value\n") || !strings.Contains(said, want) || want == "" && strings.Contains(said, "answered") {
			t.Errorf("--end %s: said %s", end, said)
		}
	}
}
