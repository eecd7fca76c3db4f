package weigh

import (
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/internal/alloctest"
)

type node struct {
	name  string
	next  *node
	tags  map[string]string
	parts []any
}

// tree makes a value of many small parts.
func tree(n int) *node {
	root := &node{name: strings.Clone("root")}
	for i := range n {
		name := strings.Repeat("x", 20+i%7)
		root = &node{name: name, next: root, tags: map[string]string{strings.Clone("key"): strings.Repeat("v", 40)},
			parts: []any{i, strings.Repeat("p", 30)}}
	}
	return root
}

// TestDeepIsAboutWhatTheHeapTakes compares with the heap's growth.
func TestDeepIsAboutWhatTheHeapTakes(t *testing.T) {
	for name, create := range map[string]func() any{
		"many small parts": func() any { return tree(2000) },
		"a large slice":    func() any { return make([]float64, 100_000) },
		"strings": func() any {
			all := make([]string, 5000)
			for i := range all {
				all[i] = strings.Repeat("s", 64)
			}
			return all
		},
		"a map": func() any {
			all := make(map[int]string)
			for i := range 5000 {
				all[i] = strings.Repeat("s", 64)
			}
			return all
		},
	} {
		before := alloctest.Heap()
		v := create()
		took := float64(alloctest.Heap() - before)
		if got := float64(Deep(v)); math.Abs(got/took-1) > 0.5 {
			t.Errorf("%s: measured %v bytes, the heap grew by %v", name, got, took)
		}
		runtime.KeepAlive(v)
	}
}

func TestDeepCountsSharedPartsOnce(t *testing.T) {
	t.Parallel()
	part := &node{name: strings.Repeat("x", 10_000)}
	loop := &node{}
	loop.next = loop
	if got := Deep([]*node{part, part, part, loop, loop}); got < 10_000 || got > 11_000 {
		t.Errorf("measured %d bytes, want little more than 10000", got)
	}
}

func TestScaleLearns(t *testing.T) {
	t.Parallel()
	s := New[[]byte](nil)
	if got := s.Expect(10); got != 40 {
		t.Errorf("before it has learned anything: %d", got)
	}
	for range always {
		s.Weigh(make([]byte, 5000), 500)
	}
	for _, blob := range []int64{500, 1000} {
		if got := s.Weigh(nil, blob); got < 9*blob || got > 11*blob {
			t.Errorf("a blob of %d bytes weighs %d, want ten times as much", blob, got)
		}
	}
	if got := s.Expect(0); got < 4900 || got > 5200 {
		t.Errorf("a blob of unknown length weighs %d, want about 5000", got)
	}
}

func TestScaleOfTheUser(t *testing.T) {
	t.Parallel()
	s := New(func(n int) int64 {
		if n < 0 {
			panic("no")
		}
		return int64(n)
	})
	if a, b := s.Weigh(7, 1000), s.Weigh(-1, 1000); a != 7 || b != 0 {
		t.Errorf("weighed %d and %d", a, b)
	}
}

// TestAUsersFunctionThatLies says of one value that it takes all memory, and of another that it
// takes less than nothing. Both are weighed within bounds, and make no other value seem too large.
func TestAUsersFunctionThatLies(t *testing.T) {
	t.Parallel()
	for _, lie := range []int64{math.MaxInt64, math.MinInt64, 0} {
		s := New(func(n int64) int64 { return n })
		for range 20 {
			s.Weigh(400, 100)
		}
		if got := s.Weigh(lie, 100); got != min(max(lie, 0), Most) {
			t.Errorf("a value that is said to take %d bytes weighs %d", lie, got)
		}
		if got := s.Expect(1000); got < 1000 || got > 1000*mostTimes {
			t.Errorf("after %d: a blob of 1000 bytes is taken for %d bytes of memory", lie, got)
		}
	}
}
