package plan

import (
	"math"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/levels"
)

// View says which roll-ups a question may use. The zero View allows all.
type View struct {
	// Skip says that a span must be answered from below its roll-up: a source may
	// hold a value of it.
	Skip func(levels.Span) bool
	// Step is the length of the question's slices in nanoseconds: a roll-up must
	// not span two. 0 when there is one slice.
	Step int64
}

// settings returns the settings with the levels that fit into a slice.
func (v *View) settings(s levels.Settings) levels.Settings {
	if v.Step > 0 {
		return s.Below(time.Duration(min(v.Step, math.MaxInt64-1)) + 1)
	}
	return s
}

// skips returns which spans' roll-ups must not be used in a range from an instant
// on.
func (p *Past[T]) skips(v View, from int64) func(levels.Span) bool {
	if v.Step == 0 {
		return v.Skip
	}
	slice := func(t int64) uint64 { return (uint64(t) - uint64(from)) / uint64(v.Step) }
	return func(s levels.Span) bool {
		return slice(s.Start) != slice(s.End()-1) || v.Skip != nil && v.Skip(s)
	}
}
