package levels

import (
	"context"
	"time"
)

// Nearest returns the nearest range that holds the one of parts, and cuts no span
// whose roll-up alone is left. Parts are what Cover returned with s; where
// none of their gaps cuts such a span, ok is true and the range is theirs.
func (p *Protocol) Nearest(ctx context.Context, s Settings, tenant string, parts []Part) (from, to int64, ok bool, err error) {
	if len(parts) == 0 {
		return 0, 0, true, nil
	}
	from, to, ok = parts[0].From, parts[len(parts)-1].To, true
	horizon := s.Horizon(p.now())
	for _, gap := range parts {
		if gap.Place != nil || gap.From >= horizon {
			continue
		}
		for _, level := range s.Spans {
			if !s.outlivesEntries(level) {
				continue
			}
			cut, err := p.cutBy(ctx, s, tenant, level, gap)
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

// cutBy returns the sealed places of a level that a gap touches, and whose
// entries no shorter roll-ups stand for.
func (p *Protocol) cutBy(ctx context.Context, s Settings, tenant string, level time.Duration, gap Part) (cut []Place, err error) {
	places, err := p.Places(ctx, tenant, level, SpanAt(tenant, level, gap.From).Start, gap.To)
	if err != nil {
		return nil, err
	}
	now := p.now()
	for _, place := range s.kept(places, now) {
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
