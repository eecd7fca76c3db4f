package main

import "testing"

// TestFlushes checks that the number of flushes follows the store unless a flag sets
// it, never exceeds the bound, and numbers that contradict each other are refused.
func TestFlushes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		flags       flushing
		embedded    bool
		usual, most int
		refused     bool
	}{
		{flushing{}, false, 10, 0, false},
		{flushing{}, true, 64, 0, false},
		{flushing{usual: 5}, true, 5, 0, false},
		{flushing{most: 200}, false, 10, 200, false},
		{flushing{most: 4}, false, 4, 4, false},
		{flushing{most: 4}, true, 4, 4, false},
		{flushing{usual: 100}, false, 100, 0, false},
		{flushing{usual: 5, most: 4}, false, 0, 0, true},
		{flushing{usual: -1}, false, 0, 0, true},
		{flushing{most: -1}, false, 0, 0, true},
	} {
		if err := c.flags.check(); (err != nil) != c.refused {
			t.Errorf("%+v: %v", c.flags, err)
		}
		if usual, most := c.flags.counts(c.embedded); !c.refused && (usual != c.usual || most != c.most) {
			t.Errorf("%+v: %d, %d", c.flags, usual, most)
		}
	}
	checkUsage(t, collect(t, "serve", "--flushes", "5", "--flushes-max", "4"), "--flushes-max 4: must be at least --flushes, which is 5")
}
