package levels

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
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
	// Keep says how long after its end each span is kept: first the entries,
	// then each level; 0 is for ever. Each is at least as long as the one
	// before. It may change; whoever publishes settings without it leaves it as
	// it is.
	Keep []time.Duration `json:"keep,omitempty"`
	// Gone is the instant, Unix nanoseconds, before which an earlier Keep may have
	// removed entries, so that their spans stay final; 0 where there was none.
	Gone int64 `json:"gone,omitempty"`
	// Grace is how much longer than Keep says the store keeps entries, where a
	// level is kept longer than they are: a builder that was away catches up, and a
	// value that was taken in time is still stored.
	Grace time.Duration `json:"grace,omitempty"`
	// Waits says that the store removes only entries that index.Removable allows:
	// entries before Gone, which builders advance once all of them are rolled up.
	Waits bool `json:"waits,omitempty"`
	// Former is the shortest time that entries were kept which were put before
	// Until, Unix nanoseconds: the store of a shared index may remember with each entry
	// how long it is kept. 0 where there was none.
	Former time.Duration `json:"former,omitempty"`
	Until  int64         `json:"until,omitempty"`
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
	return s.checkKeep()
}

func (s Settings) checkKeep() error {
	if len(s.Keep) == 0 {
		return nil
	}
	if len(s.Keep) != len(s.Spans)+1 {
		return fmt.Errorf("levels: retention of %d levels and of the entries must be given, not %v", len(s.Spans), s.Keep)
	}
	for i, keep := range s.Keep {
		switch {
		case keep < 0 || keep > 0 && keep < time.Hour:
			return fmt.Errorf("levels: retention of %v: must be 0 or at least 1h", keep)
		case i > 0 && keep != 0 && (s.Keep[i-1] == 0 || keep < s.Keep[i-1]):
			return fmt.Errorf("levels: retention of %v after %v: a longer level must be kept at least as long as a shorter one", keep, s.Keep[i-1])
		}
	}
	return nil
}

// keepOf returns how long after its end a span of a level is kept; the level 0
// is the entries. 0 is for ever.
func (s Settings) keepOf(level time.Duration) time.Duration {
	if len(s.Keep) == 0 {
		return 0
	}
	return s.Keep[slices.Index(s.Spans, level)+1]
}

// Outlives reports whether a level is kept longer than the level below it, or
// than the entries.
func (s Settings) Outlives(level time.Duration) bool {
	if len(s.Keep) == 0 {
		return false
	}
	i := slices.Index(s.Spans, level)
	return i >= 0 && s.Keep[i] > 0 && s.Keep[i+1] != s.Keep[i]
}

// outlivesEntries reports whether a level is kept longer than the entries, or
// was.
func (s Settings) outlivesEntries(level time.Duration) bool {
	return s.Gone != 0 || s.keepOf(0) > 0 && s.keepOf(level) != s.keepOf(0)
}

// Horizon returns the instant, Unix nanoseconds, before which entries may be
// removed by retention at the time now, or soon after. It is the smallest int64
// where entries are kept for ever.
func (s Settings) Horizon(now time.Time) int64 { return s.removedBefore(now.Add(s.Lateness)) }

// GoneBy returns an instant, Unix nanoseconds, before which entries may have been
// removed by the time now. It is earlier than Horizon, so that two indexes whose
// entries are kept equally long agree in spite of their clocks.
func (s Settings) GoneBy(now time.Time) int64 { return s.removedBefore(now.Add(s.Lateness / 2)) }

// removedBefore returns the instant before which entries may be removed by now.
func (s Settings) removedBefore(now time.Time) int64 {
	horizon := int64(math.MinInt64)
	if s.Gone != 0 {
		horizon = s.Gone
	}
	if s.Waits {
		return horizon
	}
	if keep := s.keepOf(0); keep > 0 {
		horizon = max(horizon, now.Add(-keep-s.Grace).UnixNano())
	}
	if s.Former > 0 {
		horizon = max(horizon, min(s.Until, now.Add(-s.Former).UnixNano()))
	}
	return horizon
}

// PastKeep returns the instant, Unix nanoseconds, up to which entries are past their
// retention at the time now, and the shortest level that outlives them. Where all is
// kept for ever, or no level outlives the entries, ok is false.
func (s Settings) PastKeep(now time.Time) (t int64, level time.Duration, ok bool) {
	keep := s.keepOf(0)
	for _, level := range s.Spans {
		if keep > 0 && s.keepOf(level) != keep {
			return now.Add(-keep - s.Grace).UnixNano(), level, true
		}
	}
	return 0, 0, false
}

// succeed makes s the successor of earlier settings, from now on.
func (s *Settings) succeed(before Settings, now time.Time, owned bool) {
	s.From, s.Gone = before.From, 0
	if gone := before.Horizon(now); gone != math.MinInt64 {
		s.Gone = gone
	}
	if keep := before.keepOf(0); keep > 0 && !owned {
		s.Former, s.Until = keep+before.Grace, now.UnixNano()
	}
	if before.Former > 0 && (s.Former == 0 || before.Former < s.Former) {
		s.Former = before.Former
		s.Until = max(s.Until, before.Until)
	}
}

// Final reports whether a place's entries must not change any more: it is a seal,
// and retention may remove its entries, or soon.
func (s Settings) Final(p *Place, now time.Time) bool {
	return p.Kind == Sealed && p.Entries > 0 && p.Start < s.Horizon(now)
}

// expires returns when the state of a span may go, in Unix seconds; 0 is never.
func (s Settings) expires(span Span) int64 {
	if keep := s.keepOf(span.Level); keep > 0 {
		return time.Unix(0, span.End()).Add(keep).Unix() + 1
	}
	return 0
}

func (s Settings) same(other Settings) bool {
	return slices.Equal(s.Spans, other.Spans) && s.Lateness == other.Lateness && s.Skew == other.Skew && s.Linger == other.Linger
}

// refresh is the greatest age of the settings that a process works with.
const refresh = time.Minute

// wait is how long builders wait after settings were written for the first
// time. By then every writer has read them, and the requests that it sent
// before that have taken effect or never will.
func (s Settings) wait() time.Duration { return 2*refresh + s.Linger }

// OtherError says that the index has other settings of levels than a process
// asks for. The fields are the settings of the index.
type OtherError struct {
	Spans                  []time.Duration
	Lateness, Skew, Linger time.Duration
}

func (e *OtherError) Error() string {
	return fmt.Sprintf("levels: the index has spans %v, lateness %v, skew %v and linger %v: use these, or another index",
		e.Spans, e.Lateness, e.Skew, e.Linger)
}

// ErrOff says that the index has no settings of levels.
var ErrOff = errors.New("levels are off: the index has no settings for them")

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
