package main

import (
	"testing"
)

func TestQuestionsToCollectors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		want string
	}{
		"the present":       {[]string{"--at", "now"}, nil, ""},
		"an instant":        {[]string{"--at", "1.5"}, nil, "timestamp=1970-01-01T00%3A00%3A01.5Z"},
		"a window":          {[]string{"--at", "60", "--window", "10s"}, nil, "end=1970-01-01T00%3A01%3A00Z&start=1970-01-01T00%3A00%3A50Z"},
		"a variable window": {[]string{"--at", "60"}, map[string]string{"COLLECTOR_WINDOW": "10s"}, "end=1970-01-01T00%3A01%3A00Z&start=1970-01-01T00%3A00%3A50Z"},
		"a range": {[]string{"--start", "50", "--end", "60"}, map[string]string{"COLLECTOR_WINDOW": "1s"},
			"end=1970-01-01T00%3A01%3A00Z&start=1970-01-01T00%3A00%3A50Z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := &question{}
			f := newFlags("query")
			q.define(f)
			_, err := f.parse(append(c.args, "--from", "h"), func(n string) (string, bool) { v, ok := c.env[n]; return v, ok })
			if got := q.parameters().Encode(); err != nil || got != c.want {
				t.Errorf("asks %q, %v, want %q", got, err, c.want)
			}
		})
	}
}
