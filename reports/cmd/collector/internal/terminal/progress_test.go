package terminal

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressIsALineNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var stderr bytes.Buffer
		g := StartProgress(NewWriter(&stderr), "import", "file", 40)
		for range 40 {
			time.Sleep(time.Second)
			g.Add()
		}
		g.End()
		want := "collector: import 10 of 40 files\ncollector: import 20 of 40 files\n" +
			"collector: import 30 of 40 files\ncollector: import 40 of 40 files\n"
		if stderr.String() != want {
			t.Errorf("said %q", stderr.String())
		}
	})
}

// TestProgressReaches checks that work which counts itself is shown, and never beyond its total.
func TestProgressReaches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var stderr bytes.Buffer
		g := StartProgress(NewWriter(&stderr), "delete", "step", 40)
		for _, done := range []int{7, 39, 41} {
			time.Sleep(lineEvery)
			g.Reach(done)
		}
		g.Reach(40) // too soon for a line
		g.End()
		want := "collector: delete 7 of 40 steps\ncollector: delete 39 of 40 steps\ncollector: delete 40 of 40 steps\n"
		if stderr.String() != want {
			t.Errorf("said %q", stderr.String())
		}
	})
}

// Lines that are written while a bar stands there are whole, and at the end
// the bar is gone.
func TestBarMakesWayForLines(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	out := NewWriter(&stderr)
	g := &progress{out: out, bar: newBar(&stderr, "push", 200)}
	out.hide(g.clear)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			g.Add()
			fmt.Fprintf(out, "line %03d\n", i)
		})
	}
	wg.Wait()
	g.End()
	for i := range 200 {
		if !strings.Contains(stderr.String(), fmt.Sprintf("\rline %03d\n", i)) {
			t.Fatalf("line %d is not alone in %q", i, stderr.String())
		}
	}
	if !strings.HasSuffix(stderr.String(), "\r") {
		t.Errorf("ends in %q", stderr.String()[stderr.Len()-50:])
	}
}
