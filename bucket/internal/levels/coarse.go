package levels

import (
	"context"
	"slices"
	"time"
)

// Nearest returns the nearest range that holds the one of parts, and cuts no span
// whose roll-up alone is left. Parts are what Cover returned with s; where
// none of their gaps cuts such a span, ok is true and the range is theirs. It
// reads a range of Cuts for each gap and level.
func (p *Protocol) Nearest(ctx context.Context, s Settings, tenant string, parts []Part, read Reader) (from, to int64, ok bool, err error) {
	if len(parts) == 0 {
		return 0, 0, true, nil
	}
	from, to, ok = parts[0].From, parts[len(parts)-1].To, true
	for _, gap := range parts {
		if gap.Place != nil {
			continue
		}
		for _, level := range p.Cuts(s, gap.From) {
			cut, err := p.cutBy(ctx, s, tenant, level, gap, read)
			if err != nil {
				return from, to, false, err
			}
			for _, place := range cut {
				from, to, ok = min(from, place.Start), max(to, place.End()), false
			}
			if len(cut) > 0 {
				break // longer spans are asked about when the range was widened
			}
		}
	}
	return from, to, ok, nil
}

// Cuts returns the levels whose places Nearest reads for a gap that begins at from:
// from the start of the span that holds from on.
func (p *Protocol) Cuts(s Settings, from int64) (cuts []time.Duration) {
	if from >= s.Horizon(p.now()) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.Spans), func(level time.Duration) bool { return !s.outlivesEntries(level) })
}

// cutBy returns the final seals of a level whose spans a gap touches, and whose
// entries are not all in shorter roll-ups.
func (p *Protocol) cutBy(ctx context.Context, s Settings, tenant string, level time.Duration, gap Part, read Reader) (cut []Place, err error) {
	places, err := read(ctx, level, SpanAt(tenant, level, gap.From).Start, gap.To)
	if err != nil {
		return nil, err
	}
	now := p.now()
	for _, place := range s.Kept(places, now) {
		if !s.Final(&place, now) {
			continue
		}
		parts, err := p.Cover(ctx, s.Below(level), tenant, place.Start, place.End(), nil)
		if err != nil {
			return nil, err
		}
		if Entries(parts) < place.Entries {
			cut = append(cut, place)
		}
	}
	return cut, nil
}

// Entries returns how many entries the roll-ups among parts stand for.
func Entries(parts []Part) (n int) {
	for _, part := range parts {
		if part.Place != nil {
			n += part.Place.Entries
		}
	}
	return n
}

// Removed returns the spans that touch [from, to) and lack entries which retention
// has removed: where the first begins and the last ends. Where there are none, ok
// is true. Count returns how many entries are left of a range. Spans of a level are
// looked at where no shorter span is sealed.
func (p *Protocol) Removed(ctx context.Context, s Settings, tenant string, from, to int64, count func(ctx context.Context, from, to int64) (int, error)) (first, last int64, ok bool, err error) {
	gaps := []Part{{From: from, To: min(to, s.Horizon(p.now()))}}
	if gaps[0].From >= gaps[0].To {
		return from, to, true, nil
	}
	first, last, ok = from, to, true
	for _, level := range s.Spans {
		if !s.outlivesEntries(level) {
			continue
		}
		parts, err := p.final(ctx, s, tenant, level, gaps)
		if err != nil {
			return first, last, false, err
		}
		gaps = nil
		for _, part := range parts {
			if part.Place == nil {
				gaps = append(gaps, part)
				continue
			}
			left, err := count(ctx, part.Place.Start, part.Place.End())
			if err != nil {
				return first, last, false, err
			}
			if left < part.Place.Entries {
				first, last, ok = min(first, part.Place.Start), max(last, part.Place.End()), false
			}
		}
	}
	return first, last, ok, nil
}

// final cuts gaps at the final spans of a level that touch them.
func (p *Protocol) final(ctx context.Context, s Settings, tenant string, level time.Duration, gaps []Part) (parts []Part, err error) {
	for _, gap := range gaps {
		places, err := p.Places(ctx, tenant, level, SpanAt(tenant, level, gap.From).Start, gap.To)
		if err != nil {
			return nil, err
		}
		now := p.now()
		places = slices.DeleteFunc(s.Kept(places, now), func(place Place) bool { return !s.Final(&place, now) })
		parts = append(parts, cutGap(gap, places, nil)...)
	}
	return parts, nil
}
