package levels

import (
	"context"
	"errors"
	"slices"
	"time"
)

// ErrGone says that a span cannot be built because retention may have removed
// entries of it that no lower roll-up stands for.
var ErrGone = errors.New("levels: entries of the span may have been removed by retention")

// Work is what Build asks of its caller, who knows values and blobs.
type Work interface {
	// RollUp merges the entries and lower seals that parts name, in order, and
	// stores the merge under Key(claim.Span, claim.ID()). It reads entries
	// strongly consistent. It returns a nil Seal, and says why, when a roll-up
	// of the span does not pay.
	RollUp(ctx context.Context, claim Place, parts []Part) (seal *Seal, why string, err error)
}

// Build seals a span, or notes that a roll-up of it does not pay, and returns
// its place. It returns ErrTooSoon and ErrLost as Claim does, and ErrLost when an
// entry of the span was written meanwhile. Lasts is how long the claim is good
// for; a builder that takes longer has worked in vain, and one that crashed keeps
// others away for that long.
func (p *Protocol) Build(ctx context.Context, span Span, lasts time.Duration, work Work) (Place, error) {
	return p.build(ctx, span, lasts, whole{p, work})
}

// Carry seals a span as Build does, also where entries of it may be gone: work has a
// roll-up that was made before, and sees to it that it holds all of the entries.
func (p *Protocol) Carry(ctx context.Context, span Span, lasts time.Duration, work Work) (Place, error) {
	return p.build(ctx, span, lasts, work)
}

// build has work make the roll-up of a span.
func (p *Protocol) build(ctx context.Context, span Span, lasts time.Duration, work Work) (Place, error) {
	s, err := p.Settings(ctx)
	if err != nil {
		return Place{}, err
	}
	claim, err := p.Claim(ctx, span, lasts)
	if err != nil {
		return Place{}, err
	}
	building, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	place, err := p.replace(building, s, claim, work)
	if err == nil || errors.Is(err, ErrLost) {
		return place, err
	}
	// The span is left as it was; what cannot be released expires.
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), releasing)
	defer cancel()
	return Place{}, errors.Join(err, ignoreLost(p.Release(leaving, claim)))
}

// replace replaces a claim by what becomes of its span.
func (p *Protocol) replace(ctx context.Context, s Settings, claim Place, work Work) (Place, error) {
	seal, why, err := p.rollUp(ctx, s, claim, work)
	switch {
	case err != nil:
		return Place{}, err
	case seal == nil:
		return p.Void(ctx, claim, why)
	}
	return p.Seal(ctx, claim, *seal)
}

// releasing bounds giving a claim back, which a builder that is let go of still
// does.
const releasing = 2 * time.Second

func (p *Protocol) rollUp(ctx context.Context, s Settings, claim Place, work Work) (*Seal, string, error) {
	parts, err := p.Cover(ctx, s.Below(claim.Level), claim.Tenant, claim.Start, claim.End(), nil)
	if err != nil {
		return nil, "", err
	}
	return work.RollUp(ctx, claim, parts)
}

// whole is work that refuses spans whose entries may be gone.
type whole struct {
	*Protocol
	work Work
}

// RollUp implements Work.
func (w whole) RollUp(ctx context.Context, claim Place, parts []Part) (*Seal, string, error) {
	s, err := w.Settings(ctx)
	if err != nil {
		return nil, "", err
	}
	horizon := s.Horizon(w.now())
	if slices.ContainsFunc(parts, func(part Part) bool { return part.Place == nil && part.From < horizon }) {
		return nil, "", ErrGone
	}
	return w.work.RollUp(ctx, claim, parts)
}

// Below returns the settings with the levels shorter than one.
func (s Settings) Below(level time.Duration) Settings {
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
