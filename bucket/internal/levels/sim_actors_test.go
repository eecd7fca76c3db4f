package levels

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/timeblob/timeblob/index"
)

// view is the index as one actor of a simulation reaches it.
type view struct{ a *actor }

var _ index.Places = view{}

func (v view) Places(ctx context.Context, set index.PlaceSet, from, to int64) ([]index.Place, error) {
	if set == index.SettingsSet {
		return v.a.sim.places.Places(ctx, set, from, to) // known to everybody
	}
	found, err := v.a.do(fmt.Sprintf("reads places of %v in [%d, %d)", set.Level, from/1e9, to/1e9), false, func() any {
		found, err := v.a.sim.places.Places(context.Background(), set, from, to)
		return answer{found, err}
	}).(answer).get()
	places, _ := found.([]index.Place)
	return v.a.sim.mutant.seen(places), err
}

func (v view) SwapPlace(ctx context.Context, set index.PlaceSet, old string, next index.Place) (bool, error) {
	var state State
	_ = json.Unmarshal(next.State, &state)
	next.State, _ = json.Marshal(v.a.sim.mutant.wrote(state))
	sim := v.a.sim
	got := v.a.do(fmt.Sprintf("swaps place %d of %v to %s", next.Start/1e9, set.Level, state.Kind), true, func() any {
		if sim.mutant.unconditional(state) {
			old = current(sim.places, set, next.Start)
		}
		ok, err := sim.places.SwapPlace(context.Background(), set, old, next)
		return answer{ok, err}
	})
	if err, lost := got.(error); lost {
		return false, err
	}
	ok, err := got.(answer).get()
	return ok.(bool), err
}

func (v view) StoreTime() time.Time { return v.a.sim.now.Add(v.a.skew) }

// answer is a result or an error.
type answer struct {
	value any
	err   error
}

func (r answer) get() (any, error) { return r.value, r.err }

func current(x *index.MemIndex, set index.PlaceSet, start int64) string {
	found, _ := x.Places(context.Background(), set, start, start+1)
	if len(found) == 0 {
		return ""
	}
	return found[0].ID
}

// seen changes what a mutant reads.
func (m mutant) seen(places []index.Place) []index.Place {
	if !m.ignoreHold && !m.shorterWins {
		return places
	}
	places = slices.Clone(places)
	for i, p := range places {
		var state State
		_ = json.Unmarshal(p.State, &state)
		if state.Kind == Hold {
			state.Until = 0
			places[i].State, _ = json.Marshal(state)
		}
	}
	return places
}

// wrote changes what a mutant writes.
func (m mutant) wrote(s State) State {
	if s.Kind == Hold {
		s.Until -= int64(m.shortHold)
	}
	return s
}

func (m mutant) unconditional(s State) bool {
	return m.sealAlways && s.Kind == Sealed || m.breakAlways && s.Kind == Open
}

// protocol returns an actor's protocol, with the settings of the case.
func (a *actor) protocol() *Protocol {
	s := smallLevels()
	if a.sim.mutant.noSkew {
		s.Skew = 0
	}
	if a.sim.mutant.earlyClaim && a.name == "builder" {
		s.Lateness = 0
	}
	p := New(view{a}, func() time.Time { return time.Unix(0, 0) })
	p.reads, p.known.last, p.known.at = 1, s, time.Unix(0, 0)
	return p
}

// put sends an entry, or its deletion.
func (a *actor) put(t int64, deletes bool) error {
	s, what := a.sim, "puts"
	if deletes {
		what = "deletes"
		s.deleting[t] = true
	}
	got := a.do(fmt.Sprintf("%s entry %d", what, t/1e9), true, func() any {
		if deletes {
			delete(s.entries, t)
		} else {
			s.entries[t] = true
		}
		return answer{}
	})
	if err, lost := got.(error); lost {
		return err
	}
	return nil
}

// writer writes or deletes an entry, and tries again when that failed.
func writer(t int64, deletes bool, attempts int) func(*actor) {
	return func(a *actor) {
		p := a.protocol()
		if !deletes {
			a.do("takes a value", false, func() any { a.sim.taken[t] = true; return answer{} })
		}
		for range attempts {
			if a.write(p, t, deletes) == nil {
				if deletes {
					a.sim.deleted[t] = true
				} else {
					a.sim.written[t] = true
				}
				return
			}
		}
	}
}

func (a *actor) write(p *Protocol, t int64, deletes bool) error {
	m, ctx := a.sim.mutant, context.Background()
	send := func(context.Context) error { return a.put(t, deletes) }
	switch {
	case m.noHold, deletes && m.deleteNoHold:
		return send(ctx)
	case m.putFirst:
		if err := send(ctx); err != nil {
			return err
		}
		return p.hold(ctx, p.known.last, Write{Instants: []int64{t}}, p.now().Add(unit))
	case m.releasedHolds:
		err := p.Write(ctx, Write{Instants: []int64{t}, Timeout: unit, Deletes: deletes}, send)
		for _, level := range p.known.last.Spans {
			if place, _ := p.Place(ctx, SpanAt("", level, t)); place.Kind == Hold {
				_, _ = p.swap(ctx, place, State{Kind: Open})
			}
		}
		return err
	}
	return p.Write(ctx, Write{Instants: []int64{t}, Timeout: unit, Deletes: deletes}, send)
}

// builder seals spans, one after the other.
func builder(spans ...Span) func(*actor) {
	return func(a *actor) {
		p := a.protocol()
		for _, span := range spans {
			a.do("looks for work", false, func() any { return answer{} })
			if a.sim.mutant.sealLate {
				_ = p.buildLate(span, a)
				continue
			}
			_, _ = p.Build(context.Background(), span, 2*unit, work{a, p})
		}
	}
}

// buildLate is Build without a look at the claim's age.
func (p *Protocol) buildLate(span Span, a *actor) error {
	claim, err := p.Claim(context.Background(), span, unit)
	if err != nil {
		return err
	}
	seal, _, err := p.rollUp(context.Background(), p.known.last, claim, work{a, p})
	if err != nil {
		return err
	}
	_, err = p.swap(context.Background(), claim, State{Kind: Sealed, Seal: seal})
	return err
}

// work merges by listing instants.
type work struct {
	a *actor
	p *Protocol
}

func (w work) RollUp(_ context.Context, claim Place, parts []Part) (*Seal, string, error) {
	s, made := w.a.sim, []int64{}
	for _, part := range parts {
		if part.Place != nil {
			made = append(made, s.blobs[part.Place.Key]...)
			continue
		}
		made = append(made, w.a.entries(part.From, part.To)...)
	}
	key := fmt.Sprintf("%v/%d/%v/%s", claim.Level, claim.Start, made, claim.ID())
	if s.mutant.keyNoClaim {
		key = fmt.Sprintf("%v/%d", claim.Level, claim.Start)
	}
	w.a.do("stores roll-up "+key, false, func() any {
		if _, taken := s.blobs[key]; !taken {
			s.blobs[key], s.expires[key] = made, time.Unix(0, claim.Until)
		}
		return answer{}
	})
	return &Seal{Key: key, Entries: len(made)}, "", nil
}

// entries reads the index.
func (a *actor) entries(from, to int64) []int64 {
	found, _ := a.do(fmt.Sprintf("reads entries of [%d, %d)", from/1e9, to/1e9), false, func() any {
		return answer{value: a.sim.within(from, to)}
	}).(answer).get()
	return found.([]int64)
}

// sweeper removes the roll-ups that no seal names, once no builder can seal
// them any more.
func sweeper() func(*actor) {
	return func(a *actor) {
		s := a.sim
		a.do("removes roll-ups that nobody names", false, func() any {
			for key, expires := range s.expires {
				if !s.named(key) && s.now.After(expires.Add(2*smallLevels().Skew+smallLevels().Linger)) {
					delete(s.blobs, key)
				}
			}
			return answer{}
		})
	}
}

// named reports whether a visible seal names a roll-up.
func (s *sim) named(key string) bool {
	return slices.ContainsFunc(s.seals(), func(p Place) bool { return p.Key == key })
}

// breaker breaks a seal, as a reader does that finds no roll-up.
func breaker(span Span) func(*actor) {
	return func(a *actor) {
		p := a.protocol()
		if place, err := p.Place(context.Background(), span); err == nil {
			_ = p.Break(context.Background(), place)
		}
	}
}

// seal seals a span before the schedule starts.
func (s *sim) seal(span Span) {
	made := s.within(span.Start, span.End())
	place, _ := write(span, State{Kind: Sealed, Seal: &Seal{Key: "before", Entries: len(made)}}, 0)
	s.blobs["before"] = made
	_, _ = s.places.SwapPlace(context.Background(), span.set(), "", place)
}

// question is one question about a range.
type question struct {
	from, to int64
	must     []int64 // written before it began, and not deleted since
	held     []int64 // taken, and not known to be written when it began
	parts    []Part
}

// reader asks for a range and compares each part with what its span held
// while it asked.
func reader(from, to int64) func(*actor) {
	return func(a *actor) {
		s, p := a.sim, a.protocol()
		q := question{from: from, to: to}
		var err error
		if s.mutant.cachedSeals {
			q.parts, err = p.Cover(context.Background(), p.known.last, "", from, to, nil)
		}
		a.do("begins a question", false, func() any { q.begin(s); return answer{} })
		if !s.mutant.cachedSeals {
			q.parts, err = p.Cover(context.Background(), p.known.last, "", from, to, func(span Span) bool {
				return !s.mutant.openIgnored && slices.ContainsFunc(q.held, span.holds)
			})
		}
		if err == nil {
			q.compare(a)
		}
	}
}

func (s Span) holds(t int64) bool { return t >= s.Start && t < s.End() }

func (q *question) begin(s *sim) {
	for t := range s.taken {
		switch {
		case t < q.from || t >= q.to || s.deleting[t]:
		case s.written[t]:
			q.must = append(q.must, t)
		default:
			q.held = append(q.held, t)
		}
	}
	s.history = []map[int64]bool{clone(s.entries)}
}

// compare checks the answer: each part, then the whole.
func (q *question) compare(a *actor) {
	s := a.sim
	times, read := map[int64]int{}, map[int64]bool{}
	for _, part := range q.parts {
		var got []int64
		if part.Place != nil {
			got = s.blobs[part.Place.Key]
		} else {
			got = a.entries(part.From, part.To)
		}
		if !slices.ContainsFunc(s.history, func(entries map[int64]bool) bool { return slices.Equal(sorted(entries, part), got) }) {
			s.fail("the part from %d to %d holds %v, its span never did while the question was asked", part.From/1e9, part.To/1e9, got)
		}
		for _, t := range got {
			times[t]++
			read[t] = read[t] || part.Place == nil
		}
	}
	for _, t := range q.held {
		if !read[t] {
			times[t]++
		}
	}
	for t, n := range times {
		if n > 1 {
			s.fail("entry %d counts %d times", t/1e9, n)
		}
	}
	for _, t := range append(q.must, q.held...) {
		if times[t] == 0 && !s.deleting[t] {
			s.fail("entry %d is missing, though it was taken before the question", t/1e9)
		}
	}
}

func sorted(entries map[int64]bool, part Part) []int64 {
	return (&sim{entries: entries}).within(part.From, part.To)
}

func clone(entries map[int64]bool) map[int64]bool {
	all := make(map[int64]bool, len(entries))
	for t := range entries {
		all[t] = true
	}
	return all
}
