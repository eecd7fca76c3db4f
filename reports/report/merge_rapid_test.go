package report_test

import (
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/reporttest"
)

// drawParts draws up to 40 reports, many of them more than once, so that a node
// often has more copies than one pass of a merge takes.
func drawParts(t *rapid.T) []*report.Report {
	pool := rapid.SliceOfN(reporttest.Report(), 1, 4).Draw(t, "pool")
	return rapid.SliceOfN(rapid.SampledFrom(pool), 0, 40).Draw(t, "parts")
}

func merge(t interface{ Fatal(...any) }, parts ...*report.Report) *report.Report {
	r, err := report.Merge(parts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func requireSame(t *rapid.T, what string, got, want plainReport) {
	if !reflect.DeepEqual(got, want) { // far quicker than a difference
		t.Fatalf("%s (- wanted, + got):\n%s", what, cmp.Diff(want, got))
	}
}

// TestMergeFollowsTheRules checks a merge against the rules written down a
// second time: in any order, nested in any way, and with all parts twice.
func TestMergeFollowsTheRules(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		parts := drawParts(t)
		merged := merge(t, parts...)
		requireModel(t, merged)
		want := plainMerge(parts)
		requireSame(t, "against the rules", plain(merged), want)
		shuffled := rapid.Permutation(parts).Draw(t, "order")
		requireSame(t, "in another order", plain(merge(t, shuffled...)), want)
		requireSame(t, "nested", plain(mergeNested(t, shuffled)), want)
		again := plain(merge(t, slices.Concat(parts, shuffled)...))
		want.Window, want.Count, want.Total = 2*want.Window, 2*want.Count, 2*want.Total
		requireSame(t, "all twice, only sums change", again, want)
	})
}

// mergeNested merges runs of the parts, merges of runs, and so on.
func mergeNested(t *rapid.T, parts []*report.Report) *report.Report {
	for len(parts) > 1 {
		var merged []*report.Report
		for len(parts) > 0 {
			n := rapid.IntRange(1, len(parts)).Draw(t, "run")
			merged = append(merged, merge(t, parts[:n]...))
			parts = parts[n:]
		}
		parts = merged
		if len(parts) > 1 {
			parts = append([]*report.Report{merge(t, parts[:2]...)}, parts[2:]...)
		}
	}
	return merge(t, parts...)
}

// requireModel fails unless the lists of a report are as the model wants them.
func requireModel(t *rapid.T, r *report.Report) {
	for k := range r.Topologies {
		requireSorted(t, r.Topologies[k].Nodes, report.Kind(k).Name())
	}
}

func requireSorted(t *rapid.T, nodes []*report.Node, home string) {
	ids := func(n *report.Node) string { return n.ID + "\x00" + n.EffectiveTopology(home) }
	for i, n := range nodes {
		if i > 0 && ids(nodes[i-1]) >= ids(n) {
			t.Fatalf("node %q comes after %q", ids(n), ids(nodes[i-1]))
		}
		requireSortedKeys(t, n.Latest.Keys().Names(), func(s string) string { return s })
		requireSortedKeys(t, n.Metrics, func(m report.Metric) string { return m.Key })
		requireSortedKeys(t, n.Adjacency, func(s string) string { return s })
		for _, sets := range [][]report.StringSet{n.Sets, n.Parents} {
			requireSortedKeys(t, sets, func(s report.StringSet) string { return s.Key })
			for _, s := range sets {
				requireSortedKeys(t, s.Values, func(s string) string { return s })
			}
		}
		requireSorted(t, n.Children, home)
	}
}

func requireSortedKeys[E any](t *rapid.T, list []E, key func(E) string) {
	for i := 1; i < len(list); i++ {
		if key(list[i-1]) >= key(list[i]) {
			t.Fatalf("%q comes after %q", key(list[i]), key(list[i-1]))
		}
	}
}

// TestMergeLeavesItsInputAlone merges the same parts in several goroutines at
// once, upgrades the results, and merges them on with the parts.
func TestMergeLeavesItsInputAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		parts := drawParts(t)
		before := deepCopy(reflect.ValueOf(parts)).Interface()
		merged := merge(t, parts...)
		after := deepCopy(reflect.ValueOf(merged)).Interface()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { useEveryWay(append(slices.Clone(parts), merged)) })
		}
		wg.Wait()
		if !reflect.DeepEqual(before, parts) {
			t.Fatal("parts have changed")
		}
		if !reflect.DeepEqual(after, merged) {
			t.Fatal("a merge was changed by a later one")
		}
	})
}

func useEveryWay(parts []*report.Report) {
	once, _ := report.Merge(parts)
	up, _ := report.Upgrade(once)
	small, _ := report.DropTopologiesOver(up, 1)
	_, _ = report.Merge([]*report.Report{small, up, once, parts[0]})
}

// deepCopy copies all that v points to, but for the insides of times.
func deepCopy(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		out.Set(v)
	case v.Type() == reflect.TypeFor[report.Values]():
		out.Set(reflect.ValueOf(report.ValuesOf(slices.Collect(v.Interface().(report.Values).All())...)))
	case v.Kind() == reflect.Pointer && !v.IsNil():
		out.Set(reflect.New(v.Type().Elem()))
		out.Elem().Set(deepCopy(v.Elem()))
	case v.Kind() == reflect.Slice && !v.IsNil():
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		fallthrough
	case v.Kind() == reflect.Array:
		for i := range v.Len() {
			out.Index(i).Set(deepCopy(v.Index(i)))
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			out.Field(i).Set(deepCopy(v.Field(i)))
		}
	default:
		out.Set(v)
	}
	return out
}

func TestUpgradeTwiceIsUpgradeOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		once, err := report.Upgrade(merge(t, drawParts(t)...))
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := report.Upgrade(once); err != nil || twice != once {
			t.Fatalf("the second upgrade did something, or failed: %v", err)
		}
	})
}
