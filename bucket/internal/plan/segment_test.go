package plan

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/index"
)

// bigSegment cuts a quantum by a range with numbers of any size.
func bigSegment(t, from, to, quantum int64) segment {
	n := bigFloor(t, quantum)
	begin := new(big.Int).Mul(big.NewInt(n), big.NewInt(quantum))
	end := new(big.Int).Add(begin, big.NewInt(quantum))
	s := segment{number: n, from: from, to: to}
	begins, ends := begin.Cmp(big.NewInt(from)) >= 0, end.Cmp(big.NewInt(to)) <= 0
	if begins {
		s.from = begin.Int64()
	}
	if ends {
		s.to = end.Int64()
	}
	s.whole = begins && ends
	return s
}

func TestSegmentAt(t *testing.T) {
	t.Parallel()
	quanta := rapid.OneOf(rapid.Just(int64(3*time.Second)), rapid.Int64Range(1, 100), rapid.Int64Range(1, math.MaxInt64))
	rapid.Check(t, func(t *rapid.T) {
		ends := []int64{anyInstant().Draw(t, "a"), anyInstant().Draw(t, "b"), anyInstant().Draw(t, "c")}
		slices.Sort(ends)
		from, instant, to := ends[0], ends[1], ends[2]
		if instant == to {
			t.Skip("the instant must be in the range")
		}
		quantum := quanta.Draw(t, "quantum")
		got, want := segmentAt(instant, from, to, quantum), bigSegment(instant, from, to, quantum)
		if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
			t.Fatalf("instant %d of [%d, %d) in quanta of %d: got %+v, want %+v", instant, from, to, quantum, got, want)
		}
	})
}

func TestSplit(t *testing.T) {
	t.Parallel()
	at := func(times ...int64) (entries []index.Entry) {
		for _, t := range times {
			entries = append(entries, index.Entry{Time: t})
		}
		return entries
	}
	for name, c := range map[string]struct {
		times    []int64
		from, to int64
		want     []segment
	}{
		"no entries":         {nil, 0, 100, nil},
		"exactly a quantum":  {[]int64{10, 19}, 10, 20, []segment{{1, 10, 20, true, at(10, 19), ""}}},
		"a nanosecond short": {[]int64{10, 18}, 10, 19, []segment{{1, 10, 19, false, at(10, 18), ""}}},
		"a nanosecond late":  {[]int64{11, 19}, 11, 20, []segment{{1, 11, 20, false, at(11, 19), ""}}},
		"inside a quantum":   {[]int64{13}, 12, 15, []segment{{1, 12, 15, false, at(13), ""}}},
		"head, whole, tail":  {[]int64{9, 10, 19, 20}, 5, 25, []segment{{0, 5, 10, false, at(9), ""}, {1, 10, 20, true, at(10, 19), ""}, {2, 20, 25, false, at(20), ""}}},
		"gaps":               {[]int64{15, 95}, 0, 100, []segment{{1, 10, 20, true, at(15), ""}, {9, 90, 100, true, at(95), ""}}},
		"before 1970":        {[]int64{-10, -1, 0}, -10, 10, []segment{{-1, -10, 0, true, at(-10, -1), ""}, {0, 0, 10, true, at(0), ""}}},
	} {
		got := split(at(c.times...), c.from, c.to, 10)
		if fmt.Sprint(got) != fmt.Sprint(c.want) || fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", c.want) {
			t.Errorf("%s:\n got %#v\nwant %#v", name, got, c.want)
		}
	}
}

// TestSplitLetsNobodyAppend checks that a segment's entries end where the next one's begin.
func TestSplitLetsNobodyAppend(t *testing.T) {
	t.Parallel()
	entries := []index.Entry{{Time: 1}, {Time: 11}}
	first := split(entries, 0, 20, 10)[0]
	_ = append(first.entries, index.Entry{Time: 9})
	if entries[1].Time != 11 {
		t.Error("an append to a segment's entries overwrote the next segment's")
	}
}

// bigFloor divides as a person would, for numbers of any size.
func bigFloor(t, unit int64) int64 {
	return new(big.Int).Div(big.NewInt(t), big.NewInt(unit)).Int64() // Euclidean: rounds down, as unit > 0
}

// anyInstant favours the ends of hours, of quanta and of time.
func anyInstant() *rapid.Generator[int64] {
	near := func(point int64) *rapid.Generator[int64] {
		return rapid.Map(rapid.Int64Range(-3, 3), func(d int64) int64 {
			if d > 0 && point > math.MaxInt64-d || d < 0 && point < math.MinInt64-d {
				return point
			}
			return point + d
		})
	}
	return rapid.OneOf(rapid.Int64(), near(math.MinInt64), near(math.MaxInt64), near(0), near(472222*int64(time.Hour)), near(-int64(time.Hour)),
		near(math.MinInt64/int64(time.Hour)*int64(time.Hour)), near(math.MaxInt64/int64(time.Hour)*int64(time.Hour)))
}
