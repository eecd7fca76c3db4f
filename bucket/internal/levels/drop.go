package levels

import (
	"context"
	"errors"
	"time"
)

// Drop prepares the deletion of all that a tenant has in [from, to), Unix
// nanoseconds: it holds the final spans that lie in the range as a whole, whose
// entries retention removes or has removed. A final span that the range cuts is a
// *FinalError, and nothing is changed then. Spans that are not final are held
// when their entries are deleted.
func (p *Protocol) Drop(ctx context.Context, tenant string, from, to int64, timeout time.Duration) error {
	s, err := p.Settings(ctx)
	if err != nil {
		return ignoreOff(err)
	}
	var whole []Place
	err = p.touching(ctx, s, tenant, from, to, func(place Place) error {
		switch {
		case !s.Final(&place, p.now()):
		case place.Start < from || place.End() > to:
			return &FinalError{place.Span}
		default:
			whole = append(whole, place)
		}
		return nil
	})
	if err != nil {
		return err
	}
	until := p.now().Add(timeout + s.Linger).UnixNano()
	for _, place := range whole {
		if err := p.drop(ctx, place, until); err != nil {
			return err
		}
	}
	return nil
}

// drop replaces a seal by a hold, although it is final.
func (p *Protocol) drop(ctx context.Context, place Place, until int64) error {
	for place.Kind == Sealed {
		_, err := p.swap(ctx, place, State{Kind: Hold, Until: until})
		if !errors.Is(err, ErrLost) {
			return err
		}
		if place, err = p.Place(ctx, place.Span); err != nil {
			return err
		}
	}
	return nil
}

// Replaced returns the keys of the roll-ups that places of the spans touching
// [from, to) named before, and that no seal names now. Some may be gone.
func (p *Protocol) Replaced(ctx context.Context, tenant string, from, to int64) (keys []string, err error) {
	s, err := p.Settings(ctx)
	if err != nil {
		return nil, ignoreOff(err)
	}
	err = p.touching(ctx, s, tenant, from, to, func(place Place) error {
		keys = append(keys, place.Old...)
		return nil
	})
	return keys, err
}

// Count returns how many roll-ups stand for spans that touch [from, to), and how many
// bytes their blobs have.
func (p *Protocol) Count(ctx context.Context, tenant string, from, to int64) (rollUps int, bytes int64, err error) {
	s, err := p.Settings(ctx)
	if err != nil {
		return 0, 0, ignoreOff(err)
	}
	err = p.touching(ctx, s, tenant, from, to, func(place Place) error {
		if place.Kind == Sealed && place.Seal.Key != "" {
			rollUps, bytes = rollUps+1, bytes+place.Seal.Size
		}
		return nil
	})
	return rollUps, bytes, err
}

// touching shows the written places of the spans that touch [from, to), of the
// shortest level first.
func (p *Protocol) touching(ctx context.Context, s Settings, tenant string, from, to int64, show func(Place) error) error {
	for _, level := range s.Spans {
		places, err := p.Places(ctx, tenant, level, SpanAt(tenant, level, from).Start, to)
		if err != nil {
			return err
		}
		for _, place := range places {
			if err := show(place); err != nil {
				return err
			}
		}
	}
	return nil
}

func ignoreOff(err error) error {
	if errors.Is(err, ErrOff) {
		return nil
	}
	return err
}

// MayWrite returns a *FinalError for an entry at t, Unix nanoseconds, of a span
// that is final. It reads places only of an instant so old that retention may
// remove entries of its spans.
func (p *Protocol) MayWrite(ctx context.Context, tenant string, t int64) error {
	s, err := p.Settings(ctx)
	if err != nil {
		return ignoreOff(err)
	}
	for _, level := range s.Spans {
		span := SpanAt(tenant, level, t)
		if span.Start >= s.Horizon(p.now()) {
			continue
		}
		place, err := p.Place(ctx, span)
		if err != nil {
			return err
		}
		if s.Final(&place, p.now()) {
			return &FinalError{span}
		}
	}
	return nil
}
