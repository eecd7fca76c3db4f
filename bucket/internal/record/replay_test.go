package record

import "testing"

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
