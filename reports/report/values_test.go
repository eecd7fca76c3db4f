package report_test

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/reports/report"
)

func TestValues(t *testing.T) {
	t.Parallel()
	list := []report.Latest{latest("a", 3, "x"), latest("b", 1, ""), latest("c", 2, "z")}
	v := report.ValuesOf(list...)
	if got := slices.Collect(v.All()); !slices.Equal(got, list) || v.Len() != 3 || v.At(1) != list[1] {
		t.Errorf("%v", got)
	}
	if l, ok := v.Of("c"); !ok || l != list[2] {
		t.Errorf("under c: %v, %v", l, ok)
	}
	if l, ok := v.Of("bb"); ok || l != (report.Latest{}) {
		t.Errorf("under bb: %v, %v", l, ok)
	}
	var none report.Values
	if _, ok := none.Of("a"); ok || none.Len() != 0 || len(none.Keys().Names()) != 0 || !none.Equal(report.ValuesOf()) {
		t.Error("no values are not empty")
	}
	for _, other := range []report.Values{none, report.ValuesOf(list[:2]...), report.ValuesOf(list[0], list[1], latest("d", 2, "z")),
		report.ValuesOf(list[0], list[1], latest("c", 2, "zz")), report.ValuesOf(list[0], list[1], latest("c", 4, "z"))} {
		if v.Equal(other) || other.Equal(v) {
			t.Errorf("%v equals %v", v, other)
		}
	}
}

func TestValuesUnderTooFewKeysPanics(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	report.ValuesUnder(report.KeysOf([]string{"a"}), nil)
}

// TestMergeOfOddTimes merges values whose times differ by a fraction of a second, or by
// thousands of years, in either order: a merge must not trust whole seconds too much.
func TestMergeOfOddTimes(t *testing.T) {
	t.Parallel()
	instant := rapid.OneOf(rapid.Custom(func(t *rapid.T) report.Instant {
		return report.Instant{Seconds: rapid.Int64Range(62135596790, 62135596810).Draw(t, "seconds"), Nanos: rapid.Int32Range(0, 2).Draw(t, "nanos")}
	}), rapid.SampledFrom([]report.Instant{{}, {Seconds: math.MinInt64}, {Seconds: math.MaxInt64}, {Seconds: math.MaxInt64, Nanos: 1},
		report.InstantOf(time.Date(2106, 2, 7, 6, 28, 15, 0, time.UTC)), report.InstantOf(time.Date(2106, 2, 7, 6, 28, 16, 5, time.UTC)),
		report.InstantOf(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)), report.InstantOf(time.Date(1969, 12, 31, 23, 59, 59, 9, time.UTC))}))
	rapid.Check(t, func(t *rapid.T) {
		var parts []*report.Report
		want := map[string]report.Latest{}
		for range rapid.IntRange(2, 5).Draw(t, "parts") {
			var list []report.Latest
			for _, key := range []string{"a", "b", "c"} {
				l := report.Latest{Key: key, Timestamp: instant.Draw(t, "at"), Value: rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "value")}
				list = append(list, l)
				old, seen := want[key]
				if c := l.Timestamp.Compare(old.Timestamp); !seen || c > 0 || c == 0 && l.Value > old.Value {
					want[key] = l
				}
			}
			parts = append(parts, withNodes(report.Pod, &report.Node{ID: "p", Latest: report.ValuesOf(list...)}))
		}
		merged, err := report.Merge(parts)
		if err != nil {
			t.Fatal(err)
		}
		for l := range nodesOf(merged, report.Pod)[0].Latest.All() {
			if l != want[l.Key] {
				t.Fatalf("%v, want %v", l, want[l.Key])
			}
		}
	})
}

// TestValuesInPlainJSON writes a report as encoding/json does, and reads it.
func TestValuesInPlainJSON(t *testing.T) {
	t.Parallel()
	for _, want := range []report.Values{{}, report.ValuesOf(
		report.Latest{Key: "a", Timestamp: report.Instant{Seconds: 5, Nanos: 7}, Value: "x"}, report.Latest{Key: "b", Value: "y"})} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got report.Values
		if err := json.Unmarshal(text, &got); err != nil || !got.Equal(want) {
			t.Errorf("%s became %v, %v", text, got, err)
		}
	}
	var v report.Values
	if err := json.Unmarshal([]byte(`{"a": 1}`), &v); err == nil {
		t.Error("an object was taken for a list")
	}
}
