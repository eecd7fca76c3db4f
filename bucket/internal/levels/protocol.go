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
