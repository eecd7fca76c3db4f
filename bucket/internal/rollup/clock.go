package rollup

import (
	"slices"
	"time"
)

const (
	// maxJumps bounds the jumps that a clock remembers.
	maxJumps = 100
	// longestAgain bounds how far back spans are looked at again after the clock was
	// set, where their level does not outlive the level below it.
	longestAgain = 7 * 24 * time.Hour
)

// clock notices when a builder's clock is set. It compares the builder's clock with
// the monotonic clock of the process, which nobody sets.
type clock struct {
	begun time.Time // by the monotonic clock: the first comparison
	last  time.Time // by the monotonic clock: the last comparison
	own   time.Time // the monotonic clock at the last setting
	said  time.Time // the builder's clock at that moment
	jumps []jump    // forward, oldest first, that were not undone
}

// jump is a setting of the clock to a later time.
type jump struct {
	before time.Time // the last comparison before it, by the monotonic clock
	by     time.Duration
}

// compare returns by how much the clock was set since the last setting, or 0 if that is
// within the tolerance. If the clock was set back, wrong is how long it was ahead.
func (c *clock) compare(now time.Time, tolerance time.Duration) (by, wrong time.Duration) {
	own, said := time.Now(), now.Round(0)
	if c.own.IsZero() {
		*c = clock{begun: own, last: own, own: own, said: said}
		return 0, 0
	}
	last := c.last
	c.last = own
	by = said.Sub(c.said) - own.Sub(c.own)
	if by.Abs() <= tolerance {
		return 0, 0
	}
	if by < 0 {
		wrong = own.Sub(c.undo(-by, tolerance))
	} else {
		c.jumps = append(c.jumps, jump{last, by})
		c.jumps = slices.Delete(c.jumps, 0, max(0, len(c.jumps)-maxJumps))
	}
	c.own, c.said = own, said
	return by, wrong
}

// undo takes the latest jumps away that are as long as by together. It returns since
// when the clock was ahead: before those jumps, or since the beginning if there were
// too few.
func (c *clock) undo(by, tolerance time.Duration) (since time.Time) {
	for len(c.jumps) > 0 {
		latest := &c.jumps[len(c.jumps)-1]
		since = latest.before
		if by < latest.by-tolerance {
			latest.by -= by
			return since
		}
		by -= latest.by
		c.jumps = c.jumps[:len(c.jumps)-1]
		if by <= tolerance {
			return since
		}
	}
	since, c.begun = c.begun, c.last
	return since
}
