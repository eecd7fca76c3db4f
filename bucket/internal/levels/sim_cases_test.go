package levels

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// at returns a second since the epoch as Unix nanoseconds.
func at(second int) int64 { return int64(second) * int64(unit) }

var (
	lowSpan  = Span{Level: 4 * unit, Start: at(80)}
	nextLow  = Span{Level: 4 * unit, Start: at(84)}
	highSpan = Span{Level: 16 * unit, Start: at(80)}
)

// simCase is one cast of processes; times are seconds, the schedule starts at
// 100.
type simCase struct {
	name   string
	faults faults
	cast   func(s *sim)
	mutant mutant
}

func (c simCase) once(choose func(int) int) *sim {
	s := newSim(choose, c.faults)
	s.mutant = c.mutant
	c.cast(s)
	s.run()
	return s
}

// store puts entries into the index before the schedule starts.
func (s *sim) store(seconds ...int) {
	for _, second := range seconds {
		s.entries[at(second)], s.taken[at(second)], s.written[at(second)] = true, true, true
	}
}

var simCases = []simCase{
	{name: "a late value and a builder", faults: faults{ticks: 2, lost: 1}, cast: func(s *sim) {
		s.add("writer", 0, writer(at(81), false, 1))
		s.add("builder", 0, builder(lowSpan))
	}},
	{name: "skewed clocks", faults: faults{ticks: 4}, cast: func(s *sim) {
		s.add("writer", -unit, writer(at(81), false, 1))
		s.add("builder", unit, builder(lowSpan))
	}},
	{name: "a hold that runs out", faults: faults{ticks: 6, lost: 1}, cast: func(s *sim) {
		s.add("writer", 0, writer(at(81), false, 1))
		s.add("builder", 0, builder(lowSpan))
	}},
	{name: "two late values", faults: faults{ticks: 3}, cast: func(s *sim) {
		s.add("first", 0, writer(at(81), false, 1))
		s.add("second", 0, writer(at(82), false, 1))
		s.add("builder", 0, builder(lowSpan))
	}},
	{name: "a deletion", faults: faults{ticks: 1, lost: 1}, cast: func(s *sim) {
		s.store(81, 82)
		s.add("deleter", 0, writer(at(81), true, 2))
		s.add("builder", 0, builder(lowSpan))
	}},
	{name: "two builders", faults: faults{ticks: 4, crashes: 1}, cast: func(s *sim) {
		s.store(81)
		s.add("builder", 0, builder(lowSpan))
		s.add("rival", 0, builder(lowSpan))
		s.add("writer", 0, writer(at(82), false, 1))
	}},
	{name: "a reader", faults: faults{ticks: 1}, cast: func(s *sim) {
		s.store(82)
		s.add("builder", 0, builder(lowSpan))
		s.add("writer", 0, writer(at(81), false, 1))
		s.add("reader", 0, reader(at(80), at(96)))
	}},
	{name: "an early value", faults: faults{ticks: 9}, cast: func(s *sim) {
		s.add("writer", -unit, writer(at(99), false, 1))
		s.add("builder", unit, builder(Span{Level: 4 * unit, Start: at(96)}, Span{Level: 4 * unit, Start: at(96)}))
	}},
	{name: "an upper level", faults: faults{ticks: 1}, cast: func(s *sim) {
		s.store(82, 85)
		s.add("builder", 0, builder(lowSpan, highSpan))
		s.add("writer", 0, writer(at(86), false, 1))
	}},
	{name: "an early value that comes late", faults: faults{ticks: 2, lost: 1}, cast: func(s *sim) {
		s.add("writer", -unit, writer(at(95), false, 1))
		s.add("builder", unit, builder(Span{Level: 4 * unit, Start: at(92)}))
	}},
	{name: "a value whose put was not answered", faults: faults{ticks: 1}, cast: func(s *sim) {
		s.entries[at(81)], s.taken[at(81)] = true, true
		s.seal(lowSpan)
		s.add("reader", 0, reader(at(80), at(84)))
	}},
	{name: "a seal that is broken", faults: faults{ticks: 1, lost: 1}, cast: func(s *sim) {
		s.store(81)
		s.seal(lowSpan)
		s.add("breaker", 0, breaker(lowSpan))
		s.add("writer", 0, writer(at(82), false, 1))
		s.add("builder", 0, builder(lowSpan))
	}},
	{name: "roll-ups are removed", faults: faults{ticks: 9, lost: 1}, cast: func(s *sim) {
		s.store(81)
		s.add("builder", 0, builder(lowSpan))
		s.add("sweeper", 0, sweeper())
	}},
	{name: "everything", faults: faults{ticks: 12, lost: 3, crashes: 1}, cast: func(s *sim) {
		s.store(82, 89)
		s.add("first", -unit, writer(at(81), false, 2))
		s.add("second", unit, writer(at(85), false, 2))
		s.add("deleter", 0, writer(at(89), true, 2))
		s.add("builder", unit, builder(lowSpan, nextLow, highSpan))
		s.add("rival", -unit, builder(nextLow, highSpan, lowSpan))
		s.add("reader", 0, reader(at(80), at(96)))
	}},
}

// TestEverySchedule tries every schedule of the small cases, depth first, as
// far as a limit reaches. TIMEBLOB_SCHEDULES sets the limit.
func TestEverySchedule(t *testing.T) {
	t.Parallel()
	limit := 1_000
	if n, err := strconv.Atoi(os.Getenv("TIMEBLOB_SCHEDULES")); err == nil {
		limit = n
	}
	for _, c := range simCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			failed, tried, all := exhaust(limit, c.once)
			if failed != nil {
				t.Fatalf("schedule %d: %v", tried, failed)
			}
			t.Logf("%d schedules, all of them: %v", tried, all)
		})
	}
}

// random returns a way to choose. Every other schedule mostly lets the first
// process go on, so that one that has to end before another begins does so.
func random(r *rand.Rand, n int) func(int) int {
	if n%2 == 0 {
		return r.IntN
	}
	return func(n int) int {
		if r.IntN(2) == 0 {
			return 0
		}
		return r.IntN(n)
	}
}

// TestRandomSchedules tries random schedules of every case.
func TestRandomSchedules(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	for _, c := range simCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			for i := range 300 {
				if s := c.once(random(r, i)); s.broken != "" {
					t.Fatalf("seed %d, schedule %d: %v", seed, i, s)
				}
			}
		})
	}
}

// TestMutants checks that the schedules find each fault of the protocol, each
// in the case that was made for it.
func TestMutants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mutant
		in string
	}{
		{mutant{name: "no hold", noHold: true}, "a late value and a builder"},
		{mutant{name: "put before hold", putFirst: true}, "a late value and a builder"},
		{mutant{name: "hold expires before the deadline", shortHold: 4 * unit}, "skewed clocks"},
		{mutant{name: "a shorter hold over a longer one", shorterWins: true, shortHold: unit}, "a late value and a builder"},
		{mutant{name: "unconditional seal", sealAlways: true}, "a late value and a builder"},
		{mutant{name: "unconditional break", breakAlways: true}, "a seal that is broken"},
		{mutant{name: "claim while a hold is live", ignoreHold: true}, "a late value and a builder"},
		{mutant{name: "no allowance for skew", noSkew: true}, "an early value that comes late"},
		{mutant{name: "seal after the claim expired", sealLate: true}, "roll-ups are removed"},
		{mutant{name: "key without the claim's ID", keyNoClaim: true}, "everything"},
		{mutant{name: "delete without hold", deleteNoHold: true}, "a deletion"},
		{mutant{name: "cached seals", cachedSeals: true}, "a reader"},
		{mutant{name: "held values ignored", openIgnored: true}, "a value whose put was not answered"},
		{mutant{name: "claim too early", earlyClaim: true}, "an early value"},
		{mutant{name: "hold given back after the put", releasedHolds: true}, "a late value and a builder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(simCases, func(s simCase) bool { return s.name == c.in })
			found := simCases[i]
			found.mutant = c.mutant
			if failed, _, _ := exhaust(2_000, found.once); failed != nil {
				t.Logf("%s", failed.broken)
				return
			}
			r := rand.New(rand.NewPCG(1, 2))
			for n := range 200_000 {
				if s := found.once(random(r, n)); s.broken != "" {
					t.Logf("random schedule %d: %s", n, s.broken)
					return
				}
			}
			t.Fatal("no schedule shows this fault")
		})
	}
}
