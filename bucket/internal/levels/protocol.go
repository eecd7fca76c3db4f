package levels

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/timeblob/timeblob/index"
)

// Protocol reads and changes the places of an index. It is safe for any
// number of goroutines.
type Protocol struct {
	places index.Places
	clock  func() time.Time // this process's, for the age of what it remembers
	reads  int              // how many sets of places a range reads at a time

	known settings

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
	// ErrFinal says that entries of a span may not change any more: retention
	// removes them, and only their roll-up stays.
	ErrFinal = errors.New("the span is final: its entries are removed by retention, only their merge is kept")
	// ErrNoTime says that the store's time is unknown, so that nothing late may
	// be written and nothing be claimed.
	ErrNoTime = errors.New("levels: the store's time is not known yet")
	// ErrLost says that a place changed since it was read: somebody else holds,
	// claims or seals the span now.
	ErrLost = errors.New("levels: the span's place has changed")
	// ErrTooSoon says that a span may not be claimed yet.
	ErrTooSoon = errors.New("levels: the span cannot be claimed yet")
)

// extra is how much longer than needed a hold lasts, so that it serves the late
// entries that follow.
func (s Settings) extra() time.Duration { return s.Lateness / 10 }

// now returns the store's time; the zero time when it is unknown.
func (p *Protocol) now() time.Time { return p.places.StoreTime() }

// Late reports whether the spans that cover an entry must be held before the
// entry is put. The entry's instant is t, in Unix nanoseconds. Its put may be
// sent until deadline, by the store's clock.
func (s Settings) Late(t int64, deadline time.Time) bool {
	return deadline.UnixNano() > t+int64(s.Lateness-s.Linger-2*s.Skew)
}

// Write sends the put, or the deletion, of an entry at the instant t, Unix
// nanoseconds, and returns what send returned. A deletion, and a put that comes
// late, first holds the spans that cover t. Timeout bounds send, whose context
// ends then. Where the index has no levels, Write only calls send.
//
// An error of Write itself means that send was not called, or that its entry
// may be missing in a seal for as long as the caller does not repeat it: the
// caller must not tell anybody that the entry is stored.
func (p *Protocol) Write(ctx context.Context, tenant string, t int64, timeout time.Duration, deletes bool, send func(context.Context) error) error {
	s, err := p.Settings(ctx)
	if errors.Is(err, ErrOff) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return send(ctx)
	}
	if err != nil {
		return err
	}
	deadline, err := p.prepare(ctx, s, tenant, t, timeout, deletes)
	if err != nil {
		return err
	}
	left := deadline.Sub(p.now())
	if left <= 0 {
		return fmt.Errorf("levels: holding the spans of an entry took longer than %v", timeout)
	}
	sending, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	if err := send(sending); err != nil {
		return err
	}
	// A request that was answered after its deadline may have taken effect
	// after its holds expired, and a builder may have read the span before that.
	if now := p.now(); now.After(deadline) {
		return p.hold(ctx, s, tenant, t, now.Add(timeout))
	}
	return nil
}

// prepare returns the store's time until which an entry at t may be sent, and
// holds the spans that cover t where that is needed.
func (p *Protocol) prepare(ctx context.Context, s Settings, tenant string, t int64, timeout time.Duration, deletes bool) (time.Time, error) {
	now := p.now()
	if now.IsZero() {
		return now, ErrNoTime
	}
	deadline := now.Add(timeout)
	if !deletes && !s.Late(t, deadline) {
		return deadline, nil
	}
	return deadline, p.hold(ctx, s, tenant, t, deadline)
}

// hold holds the spans of all levels that cover t, lowest first.
func (p *Protocol) hold(ctx context.Context, s Settings, tenant string, t int64, deadline time.Time) error {
	until := deadline.Add(s.Linger).UnixNano()
	for _, level := range s.Spans {
		if err := p.holdSpan(ctx, SpanAt(tenant, level, t), until, until+int64(s.extra())); err != nil {
			return fmt.Errorf("hold the %v: %w", SpanAt(tenant, level, t), err)
		}
	}
	return nil
}

// holdSpan makes sure that the span has a hold which does not expire before
// until. One that it writes lasts longer.
func (p *Protocol) holdSpan(ctx context.Context, span Span, until, longer int64) error {
	if p.remembers(span, until) {
		return nil
	}
	for {
		place, err := p.Place(ctx, span)
		switch {
		case err != nil:
			return err
		case place.Kind == Sealed && place.Final:
			return ErrFinal
		case place.Kind == Hold && place.Until >= until:
			p.remember(span, place.Until)
			return nil
		}
		err = p.swap(ctx, place, State{Kind: Hold, Until: longer})
		if err == nil {
			p.remember(span, longer)
		}
		if !errors.Is(err, ErrLost) {
			return err
		}
	}
}

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
	for i, f := range found {
		if places[i], err = parsePlace(span, f); err != nil {
			return nil, err
		}
	}
	return places, nil
}

// swap replaces a place that was read. It returns ErrLost when the place has
// changed since.
func (p *Protocol) swap(ctx context.Context, old Place, next State) error {
	place, err := write(old.Span, next)
	if err != nil {
		return err
	}
	_, err = p.swapTo(ctx, old, place)
	return err
}

func (p *Protocol) swapTo(ctx context.Context, old Place, next index.Place) (string, error) {
	ok, err := p.places.SwapPlace(ctx, old.set(), old.id, next)
	switch {
	case err != nil:
		return "", fmt.Errorf("place of the %v: %w", old.Span, err)
	case !ok:
		return "", ErrLost
	}
	return next.ID, nil
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
	claim := State{Kind: Claimed, Until: now.Add(lasts).UnixNano()}
	next, err := write(span, claim)
	if err != nil {
		return Place{}, err
	}
	id, err := p.swapTo(ctx, place, next)
	return Place{Span: span, State: claim, id: id}, err
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

// Seal replaces a claim by a seal. It sends nothing once the claim has
// expired.
func (p *Protocol) Seal(ctx context.Context, claim Place, seal Seal) error {
	return p.settle(ctx, claim, State{Kind: Sealed, Seal: &seal})
}

// Void replaces a claim by the remark that a roll-up of the span does not pay.
func (p *Protocol) Void(ctx context.Context, claim Place) error {
	return p.settle(ctx, claim, State{Kind: Void})
}

// Release gives a claim back.
func (p *Protocol) Release(ctx context.Context, claim Place) error {
	return p.settle(ctx, claim, State{Kind: Open})
}

func (p *Protocol) settle(ctx context.Context, claim Place, next State) error {
	if now := p.now(); now.IsZero() || now.UnixNano() > claim.Until {
		return ErrLost
	}
	return p.swap(ctx, claim, next)
}

// Break removes a seal whose roll-up does not exist or does not decode,
// unless it has changed or is final.
func (p *Protocol) Break(ctx context.Context, seal Place) error {
	if seal.Kind != Sealed {
		return ErrLost
	}
	if seal.Final {
		return ErrFinal
	}
	return p.swap(ctx, seal, State{Kind: Open})
}

// Finish makes a seal final: from then on entries of its span may be removed.
// The caller has seen that the roll-up's blob is there.
func (p *Protocol) Finish(ctx context.Context, seal Place) error {
	final := *seal.State.Seal
	final.Final = true
	return p.swap(ctx, seal, State{Kind: Sealed, Seal: &final})
}
