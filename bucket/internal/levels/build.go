package levels

import (
	"context"
	"errors"
	"time"
)

// Work is what Build asks of its caller, who knows values and blobs.
type Work interface {
	// RollUp merges the entries and lower seals that parts name, in order, and
	// stores the merge under a key that holds claim.ID(). It reads entries
	// strongly consistent. It returns a nil Seal when a roll-up of the span
	// does not pay.
	RollUp(ctx context.Context, claim Place, parts []Part) (*Seal, error)
}

// Build seals a span, or notes that a roll-up of it does not pay. It returns
// ErrTooSoon and ErrLost as Claim does, and ErrLost when an entry of the span
// was written meanwhile. Lasts is how long the claim is good for; a builder
// that takes longer has worked in vain, and one that crashed keeps others away
// for that long.
func (p *Protocol) Build(ctx context.Context, span Span, lasts time.Duration, work Work) error {
	s, err := p.Settings(ctx)
	if err != nil {
		return err
	}
	claim, err := p.Claim(ctx, span, lasts)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	seal, err := p.rollUp(ctx, s, claim, work)
	switch {
	case err != nil:
		// The span is left as it was; what cannot be released expires.
		return errors.Join(err, ignoreLost(p.Release(context.WithoutCancel(ctx), claim)))
	case seal == nil:
		return p.Void(ctx, claim)
	}
	return p.Seal(ctx, claim, *seal)
}

func (p *Protocol) rollUp(ctx context.Context, s Settings, claim Place, work Work) (*Seal, error) {
	parts, err := p.Cover(ctx, s.below(claim.Level), claim.Tenant, claim.Start, claim.End(), nil)
	if err != nil {
		return nil, err
	}
	return work.RollUp(ctx, claim, parts)
}

// below returns the settings with the levels shorter than one.
func (s Settings) below(level time.Duration) Settings {
	lower := s
	lower.Spans = nil
	for _, span := range s.Spans {
		if span < level {
			lower.Spans = append(lower.Spans, span)
		}
	}
	return lower
}

func ignoreLost(err error) error {
	if errors.Is(err, ErrLost) {
		return nil
	}
	return err
}
