package fleet

import (
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
)

// tally is the sum of the counts of several runs.
type tally struct{ stats }

// each visits the counts of s by name.
func (s *stats) each(visit func(name string, n *atomic.Int64)) {
	v := reflect.ValueOf(s).Elem()
	for i := range v.NumField() {
		visit(v.Type().Field(i).Name, (*atomic.Int64)(v.Field(i).Addr().UnsafePointer()))
	}
}

func (t *tally) add(s *stats) {
	counts := make(map[string]int64)
	s.each(func(name string, n *atomic.Int64) { counts[name] = n.Load() })
	t.each(func(name string, n *atomic.Int64) { n.Add(counts[name]) })
}

func (t *tally) String() string {
	var all []string
	t.each(func(name string, n *atomic.Int64) { all = append(all, fmt.Sprint(n.Load(), " ", name)) })
	return strings.Join(all, ", ")
}

// check fails the test for what never happened.
func (t *tally) check(tb testing.TB) {
	tb.Helper()
	t.each(func(name string, n *atomic.Int64) {
		if n.Load() == 0 {
			tb.Errorf("nothing was counted as %s", name)
		}
	})
	if t.exact.Load() < t.failed.Load() {
		tb.Errorf("%d answers were whole and %d questions failed: too much goes wrong to see mistakes", t.exact.Load(), t.failed.Load())
	}
}
