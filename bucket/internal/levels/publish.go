package levels

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/timeblob/timeblob/index"
)

// Publish writes the settings for the first time, or brings Keep up to date;
// other existing settings must be the same. Owned says that no other process
// writes the index, so that builders need not wait for other writers to learn of
// levels.
func (p *Protocol) Publish(ctx context.Context, s Settings, owned bool) error {
	if err := s.Check(); err != nil {
		return err
	}
	there, id, err := p.readAll(ctx)
	if s.Keep == nil {
		s.Keep, s.Grace, s.Waits = there.Keep, there.Grace, there.Waits
	}
	switch {
	case errors.Is(err, ErrOff):
		s.From = p.now().UnixNano()
		if !owned {
			s.From += int64(s.wait())
		}
	case err != nil:
		return err
	case !s.same(there):
		return &OtherError{there.Spans, there.Lateness, there.Skew, there.Linger}
	case slices.Equal(s.Keep, there.Keep) && s.Grace == there.Grace && s.Waits == there.Waits:
		p.known.set(there, nil, p.clock())
		return nil
	default:
		s.succeed(there, p.now(), owned)
	}
	if there, err = p.create(ctx, s, id); err != nil {
		return err
	}
	if !s.same(there) {
		return p.Publish(ctx, s, owned) // another process wrote others meanwhile
	}
	p.known.set(there, nil, p.clock())
	return nil
}

// Advance notes that entries before gone, Unix nanoseconds, may be removed from an
// index that waits for that.
func (p *Protocol) Advance(ctx context.Context, gone int64) error {
	s, id, err := p.readAll(ctx)
	if err != nil || !s.Waits || s.Gone >= gone {
		return err
	}
	s.Gone = gone
	there, err := p.create(ctx, s, id)
	if err == nil {
		p.known.set(there, nil, p.clock())
	}
	return err
}

// Adopt prepares an index for roll-ups that are copied into it. Where it has no
// settings it gets those given; otherwise it keeps its own, whose spans must be the
// same. Of entries before gone, Unix nanoseconds, only roll-ups may come, so that
// their spans are final. It returns the settings that the index has then: until
// their From, processes may work with earlier ones.
func (p *Protocol) Adopt(ctx context.Context, s Settings, gone int64, owned bool) (Settings, error) {
	for {
		next, id, err := p.readAll(ctx)
		now := p.now()
		switch {
		case errors.Is(err, ErrOff):
			next = s
		case err != nil:
			return s, err
		case !slices.Equal(next.Spans, s.Spans):
			return s, &OtherError{next.Spans, next.Lateness, next.Skew, next.Linger}
		case next.Horizon(now) >= gone:
			p.known.set(next, nil, p.clock())
			return next, nil
		}
		next.Gone = 0
		if gone != math.MinInt64 {
			next.Gone = gone
		}
		next.From = now.UnixNano()
		if !owned {
			next.From += int64(next.wait())
		}
		if err := next.Check(); err != nil {
			return s, err
		}
		if _, err := p.create(ctx, next, id); err != nil {
			return s, err
		}
	}
}

// create writes settings in the place of those with an ID, and returns the
// settings that are there afterwards.
func (p *Protocol) create(ctx context.Context, s Settings, id string) (Settings, error) {
	state, err := json.Marshal(s)
	if err != nil {
		return s, err
	}
	if _, err := p.places.SwapPlace(ctx, index.SettingsSet, id, index.Place{ID: rand.Text(), State: state}); err != nil {
		return s, fmt.Errorf("levels: write the settings: %w", err)
	}
	s, _, err = p.readAll(ctx)
	return s, err
}

func (p *Protocol) read(ctx context.Context) (Settings, error) {
	s, _, err := p.readAll(ctx)
	return s, err
}

// readAll returns the settings and the ID of their place.
func (p *Protocol) readAll(ctx context.Context) (s Settings, id string, err error) {
	there, err := p.places.Places(ctx, index.SettingsSet, 0, 1)
	switch {
	case err != nil:
		return s, "", fmt.Errorf("index: read the settings of its levels: %w", err)
	case len(there) == 0:
		return s, "", ErrOff
	}
	if err := json.Unmarshal(there[0].State, &s); err != nil {
		return s, "", fmt.Errorf("index: read the settings of its levels: %w", err)
	}
	return s, there[0].ID, s.Check()
}

// Settings returns what the index says, read again when it is older than a
// minute. The error is ErrOff where the index has none.
func (p *Protocol) Settings(ctx context.Context) (Settings, error) {
	if s, _, fresh, err := p.Known(); fresh {
		return s, err
	}
	s, err := p.read(ctx)
	if err == nil || errors.Is(err, ErrOff) {
		p.known.set(s, err, p.clock())
	}
	return s, err
}

// Known returns what Settings returned last. fresh: Settings would return it without
// reading. read: there is a value.
func (p *Protocol) Known() (s Settings, read, fresh bool, err error) {
	s, at, err := p.known.get()
	return s, !at.IsZero(), !at.IsZero() && p.clock().Sub(at).Abs() < refresh, err
}
