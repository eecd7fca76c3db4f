package main

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bench/peers/scope"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

var small = scale{keys: 2_000, hits: 2_000, callers: 10, fetch: time.Millisecond, blobs: 100, largeBlobs: 60, writes: 200, reports: 2}

// Every contender does every work: one that answers with something else ends its work with an error.
func TestAllWork(t *testing.T) {
	for _, w := range allWork(small) {
		table, err := w.run(2)
		if err != nil {
			t.Errorf("%s: %v", w.name, err)
			continue
		}
		for _, c := range w.contenders {
			if !strings.Contains(table, "\n  "+c.name) {
				t.Errorf("%s lacks %s:\n%s", w.name, c.name, table)
			}
		}
		if !strings.Contains(table, "best") {
			t.Errorf("no best:\n%s", table)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	w := work{name: "w", unit: "ns", contenders: []contender{{name: "ours"}, {name: "other", note: "a note"}}}
	const want = "\nw\n  contender  ns   × ours  from  to   less is better\n" +
		"  ours       100  1.00    50    200  \n  other      50   0.50    25    100  best a note\n"
	if got := w.table([][]float64{{100, 50, 200}, {50, 25, 100}}); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	w.more = true
	if got := w.best([][]float64{{100}, {50}}); got != 0 {
		t.Errorf("where more is better, %d is best", got)
	}
}

func TestCachesReadThrough(t *testing.T) {
	t.Parallel()
	for _, open := range caches {
		from := new(source)
		c, err := open.open(100, from)
		if err != nil {
			t.Fatal(err)
		}
		if c.get(keyOf(1)) {
			t.Errorf("%s: a hit in an empty cache", open.name)
		}
		if err := fill(c, keysFrom(0, 10)); err != nil {
			t.Errorf("%s: %v", open.name, err)
		}
		if n, err := c.batch(keysFrom(0, 10))(context.Background()); err != nil || n != 10 || !c.get(keyOf(3)) {
			t.Errorf("%s: got %d of 10, %v", open.name, n, err)
		}
		if n := from.fetched.Load(); n < 10 || n > 11 { // one of them by get, where that fetches
			t.Errorf("%s: fetched %d keys of 10", open.name, n)
		}
	}
}

// The struct that is decoded beside ours holds the same nodes.
func TestScopeReportIsEqual(t *testing.T) {
	t.Parallel()
	_, plain, err := reports(small)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range plain {
		decoded, err := decodeScope(data)
		if err != nil {
			t.Fatal(err)
		}
		theirs := decoded.(*scope.Report)
		ours, err := wire.DecodeMsgpack(data)
		if err != nil {
			t.Fatal(err)
		}
		pods := ours.Topologies[report.Pod].Nodes
		if len(pods) == 0 || len(theirs.Pod.Nodes) != len(pods) || len(theirs.Process.Nodes) != len(ours.Topologies[report.Process].Nodes) {
			t.Errorf("%d pods, want %d", len(theirs.Pod.Nodes), len(pods))
		}
		again, err := encodeScope(theirs)
		if err != nil {
			t.Fatal(err)
		}
		back, err := wire.DecodeMsgpack(again)
		if err != nil || report.Size(back) != report.Size(ours) {
			t.Errorf("what ugorji encodes is another report: %v", err)
		}
		for _, pod := range pods {
			if theirs.Pod.Nodes[pod.ID].Latest == nil {
				t.Errorf("%s has no latest values", pod.ID)
			}
		}
	}
}

func TestOnlyWhatIsAskedForRuns(t *testing.T) {
	if err := compare(regexp.MustCompile("^nothing$"), regexp.MustCompile(""), 1, small); err != nil {
		t.Error(err)
	}
}
