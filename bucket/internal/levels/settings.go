package levels

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/timeblob/timeblob/index"
)

// Settings are what all users of an index must agree on. The index keeps
// them.
type Settings struct {
	// Spans are the levels, shortest first. Each is a multiple of the one
	// before. Default 1 min, 1 h and 24 h.
	Spans []time.Duration `json:"spans"`
	// Lateness is how long after its end a span is left alone. An entry that is
	// put within that time needs no hold. Default 10 min.
	Lateness time.Duration `json:"lateness"`
	// Skew is the most by which a process's time may differ from the store's.
	// Default 10 s.
	Skew time.Duration `json:"skew"`
	// Linger is how long a request may still take effect after its sender gave
	// it up. DynamoDB accepts a request's signature for 5 minutes, which is the
	// default.
	Linger time.Duration `json:"linger"`
	// From is when builders may start, Unix nanoseconds. Until then writers that
	// did not know of levels read the settings.
	From int64 `json:"from"`
}

// Default returns the default settings.
func Default() Settings {
	return Settings{Spans: []time.Duration{time.Minute, time.Hour, 24 * time.Hour},
		Lateness: 10 * time.Minute, Skew: 10 * time.Second, Linger: 5 * time.Minute}
}

// Check returns an error that says which setting cannot be used.
func (s Settings) Check() error {
	if len(s.Spans) == 0 {
		return errors.New("levels: no spans are given")
	}
	for i, span := range s.Spans {
		switch {
		case span < time.Second || span%time.Second != 0:
			return fmt.Errorf("levels: a span of %v: must be one or more whole seconds", span)
		case i > 0 && (span <= s.Spans[i-1] || span%s.Spans[i-1] != 0):
			return fmt.Errorf("levels: a span of %v must be a multiple of the span below it, %v", span, s.Spans[i-1])
		}
	}
	if s.Skew < 0 || s.Linger < 0 || s.Lateness <= s.Linger+2*s.Skew {
		return fmt.Errorf("levels: a lateness of %v must be longer than linger %v and twice the skew %v together", s.Lateness, s.Linger, s.Skew)
	}
	return nil
}

func (s Settings) same(other Settings) bool {
	return slices.Equal(s.Spans, other.Spans) && s.Lateness == other.Lateness && s.Skew == other.Skew && s.Linger == other.Linger
}

// refresh is how old the settings may be that a process works with.
const refresh = time.Minute

// wait is how long builders wait after settings were written for the first
// time. By then every writer has read them, and the requests that it sent
// before that have taken effect or never will.
func (s Settings) wait() time.Duration { return 2*refresh + s.Linger }

// ErrOff says that the index has no settings of levels.
var ErrOff = errors.New("levels are off: the index has no settings for them")

// Publish writes the settings for the first time; existing settings must be the same. Owned says that no other process writes the index, so that
// builders need not wait for other writers to learn of levels.
func (p *Protocol) Publish(ctx context.Context, s Settings, owned bool) error {
	if err := s.Check(); err != nil {
		return err
	}
	there, err := p.read(ctx)
	if errors.Is(err, ErrOff) {
		s.From = p.now().UnixNano()
		if !owned {
			s.From += int64(s.wait())
		}
		there, err = p.create(ctx, s)
	}
	switch {
	case err != nil:
		return err
	case !s.same(there):
		return fmt.Errorf("levels: the index has spans %v, lateness %v, skew %v and linger %v: use these, or another index",
			there.Spans, there.Lateness, there.Skew, there.Linger)
	}
	p.known.set(there, nil, p.clock())
	return nil
}

// create writes settings where there are none, and returns the settings that are there afterwards.
func (p *Protocol) create(ctx context.Context, s Settings) (Settings, error) {
	state, err := json.Marshal(s)
	if err != nil {
		return s, err
	}
	if _, err := p.places.SwapPlace(ctx, index.SettingsSet, "", index.Place{ID: rand.Text(), State: state}); err != nil {
		return s, fmt.Errorf("levels: write the settings: %w", err)
	}
	return p.read(ctx)
}

func (p *Protocol) read(ctx context.Context) (s Settings, err error) {
	there, err := p.places.Places(ctx, index.SettingsSet, 0, 1)
	switch {
	case err != nil:
		return s, fmt.Errorf("levels: read the settings: %w", err)
	case len(there) == 0:
		return s, ErrOff
	}
	if err := json.Unmarshal(there[0].State, &s); err != nil {
		return s, fmt.Errorf("levels: read the settings: %w", err)
	}
	return s, s.Check()
}

// Settings returns what the index says, read again when it is older than a
// minute. The error is ErrOff where the index has none.
func (p *Protocol) Settings(ctx context.Context) (Settings, error) {
	if s, at, err := p.known.get(); !at.IsZero() && p.clock().Sub(at).Abs() < refresh {
		return s, err
	}
	s, err := p.read(ctx)
	if err == nil || errors.Is(err, ErrOff) {
		p.known.set(s, err, p.clock())
	}
	return s, err
}

// settings remembers what was read last.
type settings struct {
	mu   sync.Mutex // guards what follows
	last Settings
	off  error     // ErrOff, when the index had none
	at   time.Time // when they were read; zero: never
}

func (s *settings) get() (last Settings, at time.Time, off error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.at, s.off
}

func (s *settings) set(last Settings, off error, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.off, s.at = last, off, at
}
