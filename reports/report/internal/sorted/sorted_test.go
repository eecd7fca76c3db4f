package sorted_test

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/reports/report/internal/sorted"
)

// entry is an element whose value tells copies of one key apart.
type entry struct{ key, value int }

func byKey(a, b *entry) int { return cmp.Compare(a.key, b.key) }

// Of equal keys the last counts, however the elements came.
func TestUniqueKeepsTheLastOfEachKey(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var list []entry
		last := map[int]int{}
		for value, key := range rapid.SliceOf(rapid.IntRange(0, 20)).Draw(t, "keys") {
			list = append(list, entry{key, value})
			last[key] = value
		}
		var want []entry
		for key, value := range last {
			want = append(want, entry{key, value})
		}
		slices.SortFunc(want, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
		wasSorted := slices.Equal(list, want)
		if sorted.Is(list, byKey) != wasSorted {
			t.Fatalf("Is(%v) is %v", list, !wasSorted)
		}
		if got := sorted.Unique(list, byKey); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}
