package levels

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/timeblob/timeblob/index"
)

// The simulation runs the protocol's own code against an index whose requests
// take effect when, and as often as, a schedule says: at once, later than
// their sender waits, or never; with or without a reply. Time passes only when
// the schedule says so. A schedule is a list of choices, so that every
// schedule of a small case can be tried, and random ones of a large case.

// unit is the simulation's unit of time.
const unit = time.Second

// smallLevels are spans of 4 and of 16 units.
func smallLevels() Settings {
	return Settings{Spans: []time.Duration{4 * unit, 16 * unit}, Lateness: 6 * unit, Skew: unit, Linger: unit}
}

var (
	errLost  = errors.New("the request or its answer was lost")
	errCrash = errors.New("the process crashed")
)

// actor is one process of a simulation.
type actor struct {
	name  string
	skew  time.Duration // of its idea of the store's time
	body  func(*actor)
	sim   *sim
	calls chan call
	ended bool // guarded by the scheduler: the body has returned
	call  *call
}

// call is a request that an actor waits for.
type call struct {
	what  string
	apply func() any // takes effect
	reply chan any   // the result, or an error
	// until is when the sender gives a write up; zero for a read. A write that
	// was given up may still take effect.
	until time.Time
}

// do sends a request and waits for its reply.
func (a *actor) do(what string, write bool, apply func() any) any {
	c := call{what: what, apply: apply, reply: make(chan any, 1)}
	if write {
		c.until = a.sim.now.Add(unit)
	}
	a.calls <- c
	got := <-c.reply
	if got == errCrash {
		panic(errCrash)
	}
	return got
}

// lingering is a request that its sender has given up.
type lingering struct {
	what   string
	apply  func() any
	latest time.Time
}

// faults bounds what may go wrong in one schedule.
type faults struct {
	ticks   int // units of time that pass
	lost    int // requests or replies that are lost or late
	crashes int
}

// sim is one run of one schedule.
type sim struct {
	now       time.Time
	left      faults
	choose    func(n int) int
	actors    []*actor
	lingering []lingering
	entries   map[int64]bool // instants in the index
	places    *index.MemIndex
	blobs     map[string][]int64   // by key: the instants that a roll-up was made of
	expires   map[string]time.Time // by key: when the claim under which it was made expires
	taken     map[int64]bool       // instants of values that a writer took
	written   map[int64]bool       // those whose Write returned
	deleted   map[int64]bool       // instants whose deletion returned
	deleting  map[int64]bool       // instants whose deletion began
	history   []map[int64]bool     // every state of the entries since the reader began
	trace     []string
	broken    string // the invariant that does not hold
	mutant    mutant
}

// mutant is a fault of the protocol that the simulation must find.
type mutant struct {
	name          string
	noHold        bool          // late puts and deletions without a hold
	putFirst      bool          // the put before the hold
	shortHold     time.Duration // holds that expire so much earlier
	shorterWins   bool          // a hold replaces a longer one
	sealAlways    bool          // a seal without a condition
	breakAlways   bool          // a break without a condition
	ignoreHold    bool          // a claim while a hold is live
	noSkew        bool          // no allowance for skew
	sealLate      bool          // a seal after the claim expired
	keyNoClaim    bool          // a roll-up's key without the claim's ID
	deleteNoHold  bool          // deletions without a hold
	cachedSeals   bool          // a reader that remembers seals
	openIgnored   bool          // a reader that takes the seal of a held value's span
	earlyClaim    bool          // a claim before the span's end and lateness
	releasedHolds bool          // a hold is given back after the put
}

func newSim(choose func(int) int, left faults) *sim {
	return &sim{now: time.Unix(100, 0), left: left, choose: choose, entries: map[int64]bool{}, places: index.NewMemIndex(),
		blobs: map[string][]int64{}, expires: map[string]time.Time{}, taken: map[int64]bool{}, written: map[int64]bool{}, deleted: map[int64]bool{}, deleting: map[int64]bool{}}
}

// add brings a process into the simulation.
func (s *sim) add(name string, skew time.Duration, body func(*actor)) {
	s.actors = append(s.actors, &actor{name: name, skew: skew, body: body, sim: s, calls: make(chan call)})
}

// run carries out the schedule until every process has ended.
func (s *sim) run() {
	done := make(chan *actor)
	for _, a := range s.actors {
		go func() {
			defer func() {
				if r := recover(); r != nil && r != errCrash {
					panic(r)
				}
				done <- a
			}()
			a.body(a)
		}()
		s.await(a, done)
	}
	for s.broken == "" && s.step(done) {
		s.check()
	}
	for _, a := range s.actors { // ends the actors that still run
		for !a.ended {
			a.call.reply <- errCrash
			a.call = nil
			s.await(a, done)
		}
	}
}

// await waits until an actor has sent a request or ended.
func (s *sim) await(a *actor, done chan *actor) {
	select {
	case c := <-a.calls:
		a.call = &c
	case <-done:
		a.ended = true
	}
}

// option is one thing that may happen next.
type option struct {
	what string
	do   func()
}

// step lets one thing happen; false when nothing is left to happen.
func (s *sim) step(done chan *actor) bool {
	var options []option
	for _, a := range s.actors {
		if !a.ended {
			options = append(options, s.optionsOf(a, done)...)
		}
	}
	if len(options) == 0 {
		return false
	}
	due := slices.ContainsFunc(s.actors, func(a *actor) bool {
		return !a.ended && !a.call.until.IsZero() && !a.call.until.After(s.now)
	})
	for i, l := range s.lingering {
		due = due || !l.latest.After(s.now)
		options = append(options, option{"takes effect late: " + l.what, func() { s.drop(i); l.apply() }},
			option{"never takes effect: " + l.what, func() { s.drop(i) }})
	}
	if s.left.ticks > 0 && !due {
		options = append(options, option{"time passes", func() { s.left.ticks--; s.now = s.now.Add(unit) }})
	}
	o := options[s.choose(len(options))]
	s.trace = append(s.trace, o.what)
	o.do()
	return true
}

func (s *sim) drop(i int) { s.lingering = slices.Delete(slices.Clone(s.lingering), i, i+1) }

// optionsOf returns what may happen to an actor's request.
func (s *sim) optionsOf(a *actor, done chan *actor) []option {
	c := a.call
	name := a.name + ": " + c.what
	answer := func(result any) {
		a.call = nil
		c.reply <- result
		s.await(a, done)
	}
	options := []option{{name, func() { answer(c.apply()) }}}
	overdue := !c.until.IsZero() && !c.until.After(s.now)
	if !c.until.IsZero() && s.left.lost > 0 {
		options = append(options, option{name + ", the answer is lost", func() { s.left.lost--; c.apply(); answer(errLost) }})
	}
	if !c.until.IsZero() && (s.left.lost > 0 || overdue) {
		options = append(options,
			option{name + ", given up", func() {
				s.left.lost = max(0, s.left.lost-1)
				s.lingering = append(slices.Clone(s.lingering), lingering{name, c.apply, s.now.Add(smallLevels().Linger)})
				answer(errLost)
			}})
	}
	if s.left.crashes > 0 {
		options = append(options, option{name + ", crashes before it", func() { s.left.crashes--; answer(errCrash) }})
	}
	return options
}

// check notes the first invariant that does not hold.
func (s *sim) check() {
	if len(s.history) > 0 {
		s.history = append(s.history, maps.Clone(s.entries))
	}
	for _, place := range s.seals() {
		s.checkSeal(place)
	}
}

// seals returns the visible seals.
func (s *sim) seals() (seals []Place) {
	for _, level := range smallLevels().Spans {
		found, _ := s.places.Places(context.Background(), Span{Level: level}.set(), 0, 1<<60)
		for _, f := range found {
			place, err := parsePlace(Span{Level: level}, f)
			if err != nil {
				s.fail("%v", err)
			} else if place.Kind == Sealed {
				seals = append(seals, place)
			}
		}
	}
	return seals
}

func (s *sim) checkSeal(p Place) {
	have := s.within(p.Start, p.End())
	switch sealed, there := s.blobs[p.Key]; {
	case !there:
		s.fail("the seal of %v names a roll-up that was removed", p.Span)
	case !slices.Equal(have, sealed):
		s.fail("the seal of %v holds %v, its span %v", p.Span, sealed, have)
	case p.Entries != len(sealed):
		s.fail("the seal of %v counts %d entries, its roll-up %d", p.Span, p.Entries, len(sealed))
	}
}

func (s *sim) fail(format string, args ...any) {
	if s.broken == "" {
		s.broken = fmt.Sprintf(format, args...)
	}
}

// within returns the instants of the entries in [from, to), in order.
func (s *sim) within(from, to int64) []int64 {
	var found []int64
	for t := range s.entries {
		if t >= from && t < to {
			found = append(found, t)
		}
	}
	slices.Sort(found)
	return found
}

func (s *sim) String() string {
	if s.broken == "" {
		return "every invariant holds"
	}
	return s.broken + "\n  " + strings.Join(s.trace, "\n  ")
}

// exhaust tries every schedule, depth first, until one breaks an invariant or
// limit have been tried. It reports how many it tried and whether these were
// all.
func exhaust(limit int, once func(choose func(int) int) *sim) (failed *sim, tried int, all bool) {
	var path, width []int
	for tried < limit {
		depth := 0
		s := once(func(n int) int {
			if depth == len(path) {
				path, width = append(path, 0), append(width, n)
			}
			depth++
			return path[depth-1]
		})
		tried++
		if s.broken != "" {
			return s, tried, false
		}
		path, width = path[:depth], width[:depth]
		for len(path) > 0 && path[len(path)-1] == width[len(width)-1]-1 {
			path, width = path[:len(path)-1], width[:len(width)-1]
		}
		if len(path) == 0 {
			return nil, tried, true
		}
		path[len(path)-1]++
	}
	return nil, tried, false
}
