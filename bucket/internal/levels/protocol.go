package levels

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/timeblob/timeblob/index"
)

// FinalError says that entries of a span may not change any more: retention
// removes them, and only their roll-up stays.
type FinalError struct{ Span Span }

func (e *FinalError) Error() string {
	return fmt.Sprintf("the %v is final: its entries are removed by retention, only their merge is kept", e.Span)
}

// Protocol reads and changes the places of an index. It is safe for any
// number of goroutines.
type Protocol struct {
	// Held, if it is set before the first call, is told of each hold that the
	// protocol writes, and until when it lasts, Unix nanoseconds.
	Held func(span Span, until int64)

	places index.Places
	clock  func() time.Time // this process's, for the age of what it remembers
	reads  int              // how many sets of places a range reads at a time

	known  settings
	parsed parsed

	mu   sync.Mutex     // guards what follows
	held map[Span]int64 // until when, Unix nanoseconds
}

// New returns the protocol over an index's places. Clock is this process's
// clock; nil means time.Now.
func New(places index.Places, clock func() time.Time) *Protocol {
	if clock == nil {
		clock = time.Now
	}
	return &Protocol{places: places, clock: clock, reads: 16, held: make(map[Span]int64)}
}

// Errors of the protocol.
var (
	// ErrNoTime says that the store's time is unknown, so that nothing late may
	// be written and nothing be claimed.
	ErrNoTime = errors.New("levels: the store's time is not known yet")
	// ErrLost says that a place changed since it was read: somebody else holds,
	// claims or seals the span now.
	ErrLost = errors.New("levels: the span's place has changed")
	// ErrTooSoon says that a span may not be claimed yet.
	ErrTooSoon = errors.New("levels: the span cannot be claimed yet")
)

// Time returns the store's time, as well as it is known; the zero time when it
// is not.
func (p *Protocol) Time() time.Time { return p.now() }

// now returns the store's time; the zero time when it is unknown.
func (p *Protocol) now() time.Time { return p.places.StoreTime() }

// remembers reports whether this process knows of a hold that lasts long
// enough. Nothing but a longer hold replaces a hold before it expires.
func (p *Protocol) remembers(span Span, until int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held[span] >= until
}

// maxRemembered bounds the holds that a process remembers.
const maxRemembered = 10_000

func (p *Protocol) remember(span Span, until int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.held) >= maxRemembered {
		clear(p.held)
	}
	p.held[span] = until
}

// Place returns a span's place. One that was never written is Empty.
func (p *Protocol) Place(ctx context.Context, span Span) (Place, error) {
	found, err := p.places.Places(ctx, span.set(), span.Start, span.Start+1)
	if err != nil {
		return Place{}, err
	}
	if len(found) == 0 {
		return Place{Span: span}, nil
	}
	return parsePlace(span, found[0])
}

// Places returns the written places of a level whose spans start in
// [from, to), in order.
func (p *Protocol) Places(ctx context.Context, tenant string, level time.Duration, from, to int64) ([]Place, error) {
	span := Span{Tenant: tenant, Level: level}
	found, err := p.places.Places(ctx, span.set(), from, to)
	if err != nil {
		return nil, fmt.Errorf("places of %v of tenant %q: %w", level, tenant, err)
	}
	places := make([]Place, len(found))
	return places, p.parsed.read(span, found, places)
}

// swap replaces a place that was read, and returns it as it is then. It returns
// ErrLost when the place has changed since. A place remembers the roll-ups that
// it named before.
func (p *Protocol) swap(ctx context.Context, old Place, next State) (Place, error) {
	next.Old = old.replaced(next)
	known, _, _ := p.known.get()
	place, err := write(old.Span, next, known.expires(old.Span))
	if err != nil {
		return Place{}, err
	}
	ok, err := p.places.SwapPlace(ctx, old.set(), old.id, place)
	switch {
	case err != nil:
		return Place{}, fmt.Errorf("place of the %v: %w", old.Span, err)
	case !ok:
		return Place{}, ErrLost
	}
	return Place{Span: old.Span, State: next, id: place.ID}, nil
}

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
