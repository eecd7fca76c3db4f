package plan

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

func seconds(times ...int64) (p pieces) {
	for _, t := range times {
		p.entries = append(p.entries, index.Entry{Time: t * int64(time.Second)})
	}
	return p
}

// roll adds a roll-up of a span of a length that starts at from, in seconds.
func (p pieces) roll(length time.Duration, from ...int64) pieces {
	for _, t := range from {
		p.rolled = append(p.rolled, levels.Place{Span: levels.Span{Level: length, Start: t * int64(time.Second)},
			State: levels.State{Kind: levels.Sealed, Seal: &levels.Seal{Entries: 7, Key: fmt.Sprint(t)}}})
	}
	return p
}

// show writes a unit's kind, the length of its spans, and its pieces in seconds.
func (u unit) show() string {
	names := []string{"loose", "whole", "row"}
	s := names[u.kind]
	if u.kind != loose {
		s += fmt.Sprint(" ", u.size/int64(time.Second))
	}
	for _, e := range u.entries {
		s += fmt.Sprint(" ", e.Time/int64(time.Second))
	}
	for _, r := range u.rolled {
		s += fmt.Sprint(" r", r.Start/int64(time.Second))
	}
	return s
}

// TestCut cuts ranges at quanta of 3 s, at minutes and at hours. At 7000 s spans
// stop to be settled.
func TestCut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pieces   pieces
		from, to int64
		want     []string
	}{
		"nothing":                          {seconds(), 0, 9, nil},
		"exactly a quantum":                {seconds(3, 5), 3, 6, []string{"whole 3 3 5"}},
		"a quantum of one":                 {seconds(3), 3, 6, []string{"loose 3"}},
		"a second short":                   {seconds(3, 4), 3, 5, []string{"loose 3 4"}},
		"head, quanta, tail":               {seconds(2, 3, 4, 6, 7, 9), 2, 10, []string{"loose 2", "whole 3 3 4", "whole 3 6 7", "loose 9"}},
		"before 1970":                      {seconds(-6, -5, -1, 0, 2), -6, 3, []string{"whole 3 -6 -5", "loose -1", "whole 3 0 2"}},
		"a minute":                         {seconds(1, 2, 59), 0, 60, []string{"whole 60 1 2 59"}},
		"minutes in a row":                 {seconds(1, 2, 61, 62), 0, 120, []string{"row 60 1 2 61 62"}},
		"a row of one with edges":          {seconds(0, 1, 61, 62, 120, 121), 60, 122, []string{"whole 60 61 62", "loose 120 121"}},
		"minutes at the edge of hours":     {seconds(3500, 3541, 3601, 6900), 3480, 7000, []string{"row 60 3500 3541 3601 6900"}},
		"spans that are not settled":       {seconds(6900, 6901, 6960, 6962, 6999, 7003, 7004), 6900, 7080, []string{"whole 60 6900 6901", "whole 3 6960 6962", "loose 6999", "loose 7003 7004"}},
		"roll-ups of minutes":              {seconds(5).roll(time.Minute, 60, 120, 180), 0, 240, []string{"row 60 5 r60 r120 r180"}},
		"a roll-up alone":                  {seconds().roll(time.Hour, 0), 0, 3600, []string{"loose r0"}},
		"an hour's edge of minutes":        {seconds(-1).roll(time.Minute, -120).roll(time.Hour, 0), -120, 3600, []string{"row 60 -1 r-120", "loose r0"}},
		"a minute's roll-up in an hour":    {seconds(100, 200).roll(time.Minute, 120), 0, 3600, []string{"whole 3600 100 200 r120"}},
		"the pieces of a row in both hand": {seconds(61, 62, 181).roll(time.Minute, 120), 0, 240, []string{"row 60 61 62 181 r120"}},
	} {
		k := &cutter{lengths: lengthsOf(3*time.Second, []time.Duration{time.Minute, time.Hour}), settled: 7000 * int64(time.Second), keeps: true}
		k.all(c.pieces.between(c.from*1e9, c.to*1e9), c.from*1e9, c.to*1e9)
		var got []string
		for _, u := range k.units {
			got = append(got, u.show())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
}

// TestCutLosesNothing cuts random ranges, at the ends of time too: each piece is
// in one unit, and each whole span is what it says.
func TestCutLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from, to := anyInstant().Draw(t, "from"), anyInstant().Draw(t, "to")
		if from > to {
			from, to = to, from
		}
		var all pieces
		for _, at := range rapid.SliceOfDistinct(rapid.OneOf(anyInstant(), rapid.Int64Range(from, max(from, to-1))), func(t int64) int64 { return t }).Draw(t, "times") {
			if at >= from && at < to {
				all.entries = append(all.entries, index.Entry{Time: at, Key: fmt.Sprint(at)})
			}
		}
		slices.SortFunc(all.entries, func(a, b index.Entry) int { return cmpTime(a.Time, b.Time) })
		k := &cutter{lengths: lengthsOf(time.Duration(rapid.Int64Range(1e6, 1e11).Draw(t, "quantum")), levels.Default().Spans),
			settled: anyInstant().Draw(t, "settled"), keeps: true}
		k.all(all, from, to)
		var got []blob.Ref
		for i := range k.units {
			u := &k.units[i]
			got = u.appendRefs(got)
			parts := []unit{*u}
			if u.kind != loose {
				parts = k.within(u)
			}
			n := 0
			for _, p := range parts {
				n += p.len()
			}
			if n != u.len() || u.kind == whole && index.Floor(u.first(), u.size) != index.Floor(u.last(), u.size) {
				t.Fatalf("unit %s has the parts %v", u.show(), parts)
			}
		}
		if want := all.appendRefs(nil); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("the units have %v\nwant %v", got, want)
		}
	})
}

func cmpTime(a, b int64) int {
	if a < b {
		return -1
	}
	return 1
}
