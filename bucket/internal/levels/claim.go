package levels

import (
	"context"
	"fmt"
	"time"
)

// Claim takes a span for building, for as long as given. It returns
// ErrTooSoon when the span ended less than the lateness ago or is held, and
// ErrLost when it is sealed, void, or claimed by another.
func (p *Protocol) Claim(ctx context.Context, span Span, lasts time.Duration) (Place, error) {
	s, err := p.Settings(ctx)
	if err != nil {
		return Place{}, err
	}
	now := p.now()
	if now.IsZero() {
		return Place{}, ErrNoTime
	}
	t := now.UnixNano()
	if t < s.From || t < span.End()+int64(s.Lateness) {
		return Place{}, ErrTooSoon
	}
	place, err := p.Place(ctx, span)
	if err != nil {
		return Place{}, err
	}
	if err := place.claimable(t, s.Skew); err != nil {
		return Place{}, err
	}
	return p.swap(ctx, place, State{Kind: Claimed, Until: now.Add(lasts).UnixNano()})
}

// claimable reports why a place cannot be claimed at the time t.
func (p *Place) claimable(t int64, skew time.Duration) error {
	expired := t > p.Until+2*int64(skew)
	switch {
	case p.Kind == Empty, p.Kind == Open, p.Kind == Claimed && expired, p.Kind == Hold && expired:
		return nil
	case p.Kind == Hold:
		return ErrTooSoon
	}
	return ErrLost
}

// ID returns what names a claim; roll-up keys hold it, so that no two builders
// write the same key.
func (p *Place) ID() string { return p.id }

// Seal replaces a claim by a seal, and returns the seal's place. It sends
// nothing once the claim has expired.
func (p *Protocol) Seal(ctx context.Context, claim Place, seal Seal) (Place, error) {
	return p.finish(ctx, claim, State{Kind: Sealed, Seal: &seal})
}

// Void replaces a claim by the remark that a roll-up of the span does not pay,
// and why.
func (p *Protocol) Void(ctx context.Context, claim Place, why string) (Place, error) {
	return p.finish(ctx, claim, State{Kind: Void, Why: why[:min(len(why), 200)]})
}

// Release gives a claim back.
func (p *Protocol) Release(ctx context.Context, claim Place) error {
	_, err := p.finish(ctx, claim, State{Kind: Open})
	return err
}

func (p *Protocol) finish(ctx context.Context, claim Place, next State) (Place, error) {
	if now := p.now(); now.IsZero() || now.UnixNano() > claim.Until {
		return Place{}, ErrLost
	}
	return p.swap(ctx, claim, next)
}

// FinalError says that entries of a span may not change any more: retention
// removes them, and only their roll-up stays.
type FinalError struct{ Span Span }

func (e *FinalError) Error() string {
	return fmt.Sprintf("the %v is final: its entries are removed by retention, only their merge is kept", e.Span)
}

// Break removes a seal whose roll-up does not exist or does not decode,
// unless it has changed or is final.
func (p *Protocol) Break(ctx context.Context, seal Place) error {
	if seal.Kind != Sealed {
		return ErrLost
	}
	s, err := p.Settings(ctx)
	if err != nil {
		return err
	}
	if s.Final(&seal, p.now()) {
		return &FinalError{seal.Span}
	}
	_, err = p.swap(ctx, seal, State{Kind: Open})
	return err
}

// Reopen lets a void span be tried again.
func (p *Protocol) Reopen(ctx context.Context, void Place) error {
	if void.Kind != Void {
		return ErrLost
	}
	_, err := p.swap(ctx, void, State{Kind: Open})
	return err
}
