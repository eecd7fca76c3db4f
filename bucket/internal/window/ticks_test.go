package window

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func merge(parts [][]int) ([]int, error) { return slices.Concat(parts...), nil }

// TestTicksAreAList compares ticks, and values inserted between them, with a plain
// list of values.
func TestTicksAreAList(t *testing.T) {
	t.Parallel()
	type value struct{ v, at int }
	rapid.Check(t, func(t *rapid.T) {
		length := rapid.IntRange(1, 40).Draw(t, "length")
		ticks := New(int64(length), merge)
		var model []value
		now := 0
		for i := range rapid.IntRange(0, 200).Draw(t, "operations") {
			switch rapid.SampledFrom([]string{"push", "push", "insert", "expire", "keep"}).Draw(t, "operation") {
			case "push":
				now += rapid.IntRange(0, 5).Draw(t, "time")
				ticks.Push([]int{i}, int64(now))
				model = append(model, value{i, now})
			case "insert":
				at := now - rapid.IntRange(0, length-1).Draw(t, "before")
				ticks.Insert([]int{i}, int64(at))
				model = append(model, value{i, at})
			case "expire":
				now += rapid.IntRange(0, 9).Draw(t, "time")
				ticks.Expire(int64(now))
			case "keep":
				if sealed, _, _ := ticks.Parts(); ticks.Few() && len(sealed) > 0 {
					ticks.Keep(slices.Concat(sealed...))
				}
			}
			model = slices.DeleteFunc(model, func(v value) bool { return now-v.at >= length })
			sealed, late, err := ticks.Parts()
			got := slices.Concat(append(sealed, late...)...)
			var want []int
			for _, v := range model {
				want = append(want, v.v)
			}
			slices.Sort(got)
			slices.Sort(want)
			if err != nil || !slices.Equal(got, want) || ticks.Len() != len(want) {
				t.Fatalf("got %v, %v, of %d; want %v", got, err, ticks.Len(), want)
			}
		}
	})
}

// TestAClockSetBackDropsEveryTick holds for inserted values too.
func TestAClockSetBackDropsEveryTick(t *testing.T) {
	t.Parallel()
	ticks := New(100, merge)
	ticks.Push([]int{1}, 50)
	ticks.Insert([]int{2}, 40)
	if ticks.Rewind(50) || !ticks.Rewind(49) || ticks.Len() != 0 {
		t.Errorf("%d ticks are left", ticks.Len())
	}
	if _, ok := ticks.Last(); ok {
		t.Error("there is a last tick")
	}
}
