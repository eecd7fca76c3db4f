package plan

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// ahead is what a question reads of an index in another process in one round trip:
// the places of all levels, the entries between sealed spans, and the settings. It
// guesses which spans are sealed. Where it guessed wrong, the question reads what
// is missing afterwards. A nil ahead has read nothing.
type ahead struct {
	places  []placesRead
	entries []entriesRead
}

// placesRead are the places of a level whose spans start in [from, to).
type placesRead struct {
	level    time.Duration
	from, to int64
	found    []levels.Place
	err      error
}

// entriesRead are the entries of [from, to).
type entriesRead struct {
	from, to int64
	found    []index.Entry
	err      error
}

// guess says which spans of a tenant are taken for sealed.
type guess struct {
	settings levels.Settings
	tenant   string
	settled  int64                  // spans that end later are not
	last     cover                  // what is known of the tenant
	skip     func(levels.Span) bool // spans whose seals are not used
	// cuts returns the levels that are read also for a gap from an instant on, to see
	// whether the gap cuts a span of which only the roll-up is left.
	cuts func(from int64) []time.Duration
}

// building is how long after its lateness a span is usually sealed.
const building = 2 * time.Minute

func (g *guess) sealed(s levels.Span) bool {
	if s.End() > g.settled || g.skip != nil && g.skip(s) {
		return false
	}
	return g.last.sealed(s.Start, s.End())
}

// maxGuessed bounds the spans that are guessed about for a question.
const maxGuessed = 20_000

// ahead returns what to read for [from, to). It is empty where there are too many
// spans to guess about.
func (g *guess) ahead(from, to int64) *ahead {
	a, left := &ahead{entries: []entriesRead{{from: from, to: to}}}, maxGuessed
	for _, level := range slices.Backward(g.settings.Spans) {
		var gaps []entriesRead
		for _, gap := range a.entries {
			if first, end := levels.Whole(gap.from, gap.to, int64(level)); first < end {
				a.places = append(a.places, placesRead{level: level, from: first, to: end})
				gaps = g.gaps(gaps, gap, levels.SpanAt(g.tenant, level, first), end, &left)
			} else {
				gaps = append(gaps, gap)
			}
		}
		if a.entries = gaps; left < 0 {
			return new(ahead)
		}
	}
	for _, gap := range a.entries {
		for _, level := range g.cuts(gap.from) {
			a.places = append(a.places, placesRead{level: level, from: levels.SpanAt(g.tenant, level, gap.from).Start, to: gap.to})
		}
	}
	return a
}

// gaps appends what is left of a gap between the sealed spans from s to end. It takes
// the number of spans from left.
func (g *guess) gaps(gaps []entriesRead, gap entriesRead, s levels.Span, end int64, left *int) []entriesRead {
	at := gap.from
	for ; s.Start < end && s.End() <= g.settled && *left >= 0; s.Start = s.End() {
		if *left--; !g.sealed(s) {
			continue
		}
		if s.Start > at {
			gaps = append(gaps, entriesRead{from: at, to: s.Start})
		}
		at = s.End()
	}
	if at < gap.to {
		gaps = append(gaps, entriesRead{from: at, to: gap.to})
	}
	return gaps
}

// maxRowsAhead bounds the rows of the index that are read before the places are
// known.
const maxRowsAhead = 48

// readAhead reads what an ahead names, and calls beside, all at the same time.
func (p *Past[T]) readAhead(ctx context.Context, tenant string, a *ahead, beside func()) {
	var group errgroup.Group // whose goroutines return no errors: what fails may not be needed
	group.SetLimit(2*p.opts.Rows + 1)
	group.Go(func() error { beside(); return nil })
	rows := int64(0)
	for i := range a.places {
		r := &a.places[i]
		group.Go(func() error {
			r.found, r.err = p.opts.Levels.Places(ctx, tenant, r.level, r.from, r.to)
			return nil
		})
	}
	for i := range a.entries {
		r := &a.entries[i]
		if rows += index.Floor(r.to-1, int64(time.Hour)) - index.Floor(r.from, int64(time.Hour)) + 1; rows > maxRowsAhead {
			r.from, r.to = 0, 0 // roll-ups may have come that stand for them
			continue
		}
		group.Go(func() error {
			r.found, r.err = p.entries(ctx, tenant, r.from, r.to)
			return nil
		})
	}
	_ = group.Wait()
}

// begin begins a question: it returns the settings of the index's levels, and what it
// has read early. An index that counts its writes is in this process, and so is one
// without levels read at once: of these it reads nothing early.
func (p *Past[T]) begin(ctx context.Context, tenant string, from, to int64, view View) (s levels.Settings, early *ahead, err error) {
	if p.opts.Levels == nil || p.local {
		s, err = p.settings(ctx)
		return s, nil, err
	}
	known, read, fresh, off := p.opts.Levels.Known()
	if !read {
		known, off = p.settings(ctx)
		fresh = true
	}
	if from >= to || off != nil && (fresh || !errors.Is(off, levels.ErrOff)) {
		return known, nil, off
	}
	early = &ahead{entries: []entriesRead{{from: from, to: to}}}
	if off == nil {
		cuts := func(from int64) []time.Duration { return p.opts.Levels.Cuts(known, from) }
		g := guess{view.settings(known), tenant, p.opts.Now().Add(-known.Lateness - building).UnixNano(),
			p.covers.get(tenant), p.skips(view, from), cuts}
		early = g.ahead(from, to)
	}
	p.readAhead(ctx, tenant, early, func() { s, err = p.settings(ctx) })
	return s, early, err
}

// remember notes which spans of a tenant are sealed, for the guess of the next
// question.
func (p *Past[T]) remember(tenant string, parts []levels.Part) {
	if !p.local {
		p.covers.set(tenant, parts)
	}
}

// entriesOf returns the entries of [from, to), which may have been read early.
func (p *Past[T]) entriesOf(ctx context.Context, tenant string, from, to int64, early *ahead) ([]index.Entry, error) {
	if entries, ok := early.between(from, to); ok {
		if len(entries) > p.opts.MaxEntries {
			return nil, &TooManyError{Tenant: tenant, Limit: p.opts.MaxEntries}
		}
		return entries, nil
	}
	return p.entries(ctx, tenant, from, to)
}

// reader returns a reader of places that looks into a first.
func (a *ahead) reader(read levels.Reader) levels.Reader {
	return func(ctx context.Context, level time.Duration, from, to int64) ([]levels.Place, error) {
		if a == nil {
			return read(ctx, level, from, to)
		}
		for i := range a.places {
			if r := &a.places[i]; r.level == level && r.from <= from && to <= r.to && r.err == nil {
				return slices.Clone(r.found[searchPlace(r.found, from):searchPlace(r.found, to)]), nil
			}
		}
		return read(ctx, level, from, to)
	}
}

// between returns the entries of [from, to), if a has read them.
func (a *ahead) between(from, to int64) (entries []index.Entry, ok bool) {
	if a == nil {
		return nil, false
	}
	for i := range a.entries {
		if r := &a.entries[i]; r.from <= from && to <= r.to && r.err == nil {
			first, _ := index.Search(r.found, from)
			end, _ := index.Search(r.found, to)
			return r.found[first:end:end], true
		}
	}
	return nil, false
}
