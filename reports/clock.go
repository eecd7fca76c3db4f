package reports

import (
	"log/slog"
	"sync"
	"time"
)

// MissingClock is the name in Answer.Missing of the reports that an answer about
// now lacks because the clock was set less than a window ago. A querier's answer also names
// the clock of a collector that is more than a second behind.
const MissingClock = "clock"

// setBy is how far the clock may differ from the monotonic one, since both were
// looked at last, before it is taken to have been set.
const setBy = time.Second

// setClock notices that the clock of the process was set. For a window after that,
// the reports that came before may have instants outside the window that ends now.
// It compares the clock with its monotonic reading, so it notices nothing with a
// clock that has no such reading. It is safe for concurrent use.
type setClock struct {
	window time.Duration
	look   func() (shown, elapsed time.Duration) // since the start: by the clock, and in truth
	log    *slog.Logger

	mu      sync.Mutex // guards the fields below
	apart   time.Duration
	noticed time.Duration // elapsed when the clock was last found set
	wasSet  bool
}

func newSetClock(now func() time.Time, window time.Duration, log *slog.Logger) *setClock {
	start := now()
	return &setClock{window: window, log: log, look: func() (shown, elapsed time.Duration) {
		t := now()
		return t.Round(0).Sub(start.Round(0)), t.Sub(start) // Round strips the monotonic reading
	}}
}

// missing returns MissingClock if the clock was set less than a window ago. It
// must be called more than once a window, so that it notices in time.
func (c *setClock) missing() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	shown, elapsed := c.look()
	by := shown - elapsed - c.apart
	c.apart += by
	if by.Abs() > setBy {
		c.noticed, c.wasSet = elapsed, true
		c.log.Warn("the clock was set: answers about now lack older reports for a window", "by", by, "window", c.window)
	}
	if c.wasSet && elapsed-c.noticed < c.window {
		return []string{MissingClock}
	}
	return nil
}
