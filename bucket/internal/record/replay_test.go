package record

import (
	"slices"
	"testing"
)

// TestReplayedValuesHaveInstantsOfTheirOwn replays ticks that a process left within the
// last window. All of them end now.
func TestReplayedValuesHaveInstantsOfTheirOwn(t *testing.T) {
	t.Parallel()
	var r Replay
	for id := range uint64(20) {
		a := Arrived{Tenant: []string{"a", "b"}[id%2], Time: 1000 + int64(id)*100}
		r.Visit(id+1, KindArrived, a.Encode(), 1, false)
	}
	todo := r.Resolve(Limits{Tick: 10, Bytes: 1, Window: 100_000, Now: 5000})
	instants := make(map[string]map[int64]bool)
	for _, v := range todo.Values {
		if instants[v.Tenant] == nil {
			instants[v.Tenant] = make(map[int64]bool)
		}
		if instants[v.Tenant][v.Time] {
			t.Errorf("two values of tenant %s have the instant %d", v.Tenant, v.Time)
		}
		instants[v.Tenant][v.Time] = true
	}
	if len(todo.Values) != 20 || len(instants["a"]) != 10 {
		t.Errorf("%d values, %v", len(todo.Values), instants)
	}
}

// TestAPartOfASealedValue replays a sealed record. Some of its members are done, or belong to a later one: the others are a part, and know
// their place. A member that is lost makes no part of the others: an attempt at the whole may be under way.
func TestAPartOfASealedValue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		done, lost []uint64
		later      []uint64 // members of a later sealed record
		part       bool
		place      int32
	}{
		"the whole":       {},
		"the first done":  {done: []uint64{1}, part: true, place: 1},
		"the last done":   {done: []uint64{3}, part: true},
		"halves":          {later: []uint64{1, 2}, part: true, place: 2},
		"sealed again":    {later: []uint64{1, 2, 3}},
		"the first lost":  {lost: []uint64{1}},
		"lost and halves": {lost: []uint64{1}, later: []uint64{2}, part: true, place: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r Replay
			for id := uint64(1); id <= 3; id++ {
				if a := (&Arrived{Tenant: "a", Time: 100}); !slices.Contains(c.lost, id) {
					r.Visit(id, KindArrived, a.Encode(), 1, slices.Contains(c.done, id))
				}
			}
			whole := Sealed{Tenant: "a", Time: 200, Key: "whole", Members: []uint64{1, 2, 3}}
			r.Visit(4, KindSealed, whole.Encode(), 0, false)
			if later := (Sealed{Tenant: "a", Time: 200, Key: "later", Members: c.later}); len(c.later) > 0 {
				r.Visit(5, KindSealed, later.Encode(), 0, false)
			}
			v := r.Resolve(Limits{Tick: 10, Bytes: 9, Window: 100, Now: 300}).Values
			last := v[len(v)-1]
			if c.part { // the later record comes after it
				last = v[0]
			}
			if last.Part != c.part || last.Part && last.Place != c.place {
				t.Errorf("got %+v", v)
			}
		})
	}
}
