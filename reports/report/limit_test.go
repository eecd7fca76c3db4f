package report_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/timeblob/timeblob/reports/report"
)

// counted makes a report with so many nodes of each kind.
func counted(counts map[report.Kind]int) *report.Report {
	r := report.New()
	for k, n := range counts {
		for i := range n {
			r.Topologies[k].Nodes = append(nodesOf(r, k), &report.Node{ID: fmt.Sprintf("%s-%04d", k, i)})
		}
	}
	return r
}

func TestDropTopologiesOver(t *testing.T) {
	t.Parallel()
	type counts = map[report.Kind]int
	for name, c := range map[string]struct {
		in    counts
		limit int
		want  []string
	}{
		"empty":                       {nil, 1, nil},
		"at the limit, without hosts": {counts{report.Pod: 10}, 10, nil},
		"over it, without hosts":      {counts{report.Pod: 11, report.Endpoint: 12, report.Job: 10}, 10, []string{"endpoint", "pod"}},
		"over it, with a host":        {counts{report.Pod: 11, report.Host: 1}, 10, []string{"pod"}},
		"at the limit of three hosts": {counts{report.Pod: 30, report.Host: 3}, 10, nil},
		"over that of three hosts":    {counts{report.Pod: 31, report.Host: 3}, 10, []string{"pod"}},
		"hosts never are":             {counts{report.Host: 100}, 1, nil},
		"a limit of nothing is none":  {counts{report.Pod: 11}, 0, nil},
		"a negative limit is none":    {counts{report.Pod: 11}, -1, nil},
		"a limit of anything":         {counts{report.Pod: 11, report.Host: 3}, math.MaxInt, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := counted(c.in)
			r.Topologies[report.Pod].Controls = []report.Control{{Key: "c"}}
			before := deepCopy(reflect.ValueOf(r)).Interface()
			got, dropped := report.DropTopologiesOver(r, c.limit)
			if !slices.Equal(dropped, c.want) {
				t.Errorf("dropped %q, want %q", dropped, c.want)
			}
			if (got == r) != (len(c.want) == 0) {
				t.Errorf("the result is the input: %v", got == r)
			}
			if !reflect.DeepEqual(before, r) {
				t.Error("the input has changed")
			}
			for k := range got.Topologies {
				want := c.in[report.Kind(k)]
				if slices.Contains(c.want, report.Kind(k).Name()) {
					want = 0
				}
				if n := len(nodesOf(got, report.Kind(k))); n != want {
					t.Errorf("%d nodes of kind %s, want %d", n, report.Kind(k), want)
				}
			}
			if len(got.Topologies[report.Pod].Controls) != 1 {
				t.Error("controls are gone")
			}
		})
	}
}
