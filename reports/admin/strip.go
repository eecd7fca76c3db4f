package admin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
)

// bar is the reports of one minute.
type bar struct {
	minute  int // since the start of the strip
	stored  int // stored, before the live window
	live    int // stored, in the live window
	waiting int // in memory only
}

func (b bar) sum() int { return b.stored + b.live + b.waiting }

// strip is a bar chart of the last hours. A minute without reports has no bar.
type strip struct {
	from, now time.Time // from is the start of a minute
	window    time.Duration
	hours     int
	bars      []bar // ascending
}

// stripStart returns when a strip of so many hours begins. Its last minute is the
// current one.
func stripStart(now time.Time, hours int) time.Time {
	return now.Truncate(time.Minute).Add(-time.Duration(hours)*time.Hour + time.Minute)
}

// newStrip returns the strip of an activity. An entry later than now, from a clock
// that is ahead, counts as part of the last minute.
func newStrip(a reports.Activity, now time.Time, window time.Duration, hours int) *strip {
	s := &strip{from: stripStart(now, hours), now: now, window: window, hours: hours}
	minutes := make([]bar, 60*hours)
	live := now.Add(-window).UnixNano()
	for _, e := range a.Stored {
		if m := &minutes[s.minute(e)]; e.Time > live {
			m.live++
		} else {
			m.stored++
		}
	}
	for _, e := range a.Waiting {
		minutes[s.minute(e)].waiting++
	}
	for i, b := range minutes {
		if b.sum() > 0 {
			b.minute = i
			s.bars = append(s.bars, b)
		}
	}
	return s
}

// minute returns the minute of an entry, since the start of the strip.
func (s *strip) minute(e index.Entry) int {
	return min(int((e.Time-s.from.UnixNano())/int64(time.Minute)), 60*s.hours-1)
}

// at returns the horizontal position of an instant, in the notation of SVG.
func (s *strip) at(t time.Time) string {
	return percent(float64(t.Sub(s.from)) / float64(time.Duration(s.hours)*time.Hour))
}

func percent(share float64) string { return fmt.Sprintf("%.3f%%", 100*share) }

// The vertical positions in the strip, in pixels. Horizontal ones are percentages.
const (
	stripTop  = 8
	stripBase = 104 // the lower end of the bars
)

// barView is a bar in the page.
type barView struct {
	Title, X, Width string
	Parts           []partView // from the bottom up
}

// partView is a part of a bar in one colour.
type partView struct{ Class, Y, Height string }

// Bars returns the bars to draw. The highest one has the full height.
func (s *strip) Bars() []barView {
	most := s.most()
	views := make([]barView, len(s.bars))
	for i, b := range s.bars {
		start := s.from.Add(time.Duration(b.minute) * time.Minute)
		views[i] = barView{Title: s.title(b, start), X: s.at(start), Width: percent(0.8 / float64(60*s.hours))}
		y := float64(stripBase)
		for _, part := range []struct {
			class string
			n     int
		}{{"stored", b.stored}, {"live", b.live}, {"waiting", b.waiting}} {
			if part.n > 0 {
				height := float64(part.n) / float64(most) * (stripBase - stripTop)
				y -= height
				views[i].Parts = append(views[i].Parts, partView{part.class, fmt.Sprintf("%.1f", y), fmt.Sprintf("%.1f", height)})
			}
		}
	}
	return views
}

// title returns what a bar shows, in words.
func (s *strip) title(b bar, start time.Time) string {
	text := fmt.Sprintf("%s: %d stored", start.UTC().Format("15:04"), b.stored+b.live)
	if b.live > 0 {
		text += fmt.Sprintf(", %d of them in the live window", b.live)
	}
	if b.waiting > 0 {
		text += fmt.Sprintf(", %d waiting to be stored", b.waiting)
	}
	return text
}

// most returns the sum of the highest bar, or 0 without bars.
func (s *strip) most() (n int) {
	for _, b := range s.bars {
		n = max(n, b.sum())
	}
	return n
}

// hourMark marks a full hour.
type hourMark struct {
	X, Label string // Label may be empty
}

// Marks returns the full hours. Only as many have a label as fit on the screen of
// a telephone, and none that would overlap the label "now".
func (s *strip) Marks() (marks []hourMark) {
	every := (s.hours + 5) / 6
	for t := s.from.Truncate(time.Hour); t.Before(s.now); t = t.Add(time.Hour) {
		if t.Before(s.from) {
			continue
		}
		m := hourMark{X: s.at(t)}
		share := float64(t.Sub(s.from)) / float64(s.now.Sub(s.from))
		if t.UTC().Hour()%every == 0 && share > 0.06 && share < 0.85 {
			m.Label = t.UTC().Format("15:04")
		}
		marks = append(marks, m)
	}
	return marks
}

// Now returns the position of now.
func (s *strip) Now() string { return s.at(s.now) }

// LiveWidth returns the width of the live window.
func (s *strip) LiveWidth() string { return percent(s.liveShare()) }

// LiveX returns the position where the live window begins.
func (s *strip) LiveX() string {
	return percent(float64(s.now.Sub(s.from))/float64(time.Duration(s.hours)*time.Hour) - s.liveShare())
}

func (s *strip) liveShare() float64 {
	return float64(min(s.window, s.now.Sub(s.from))) / float64(time.Duration(s.hours)*time.Hour)
}

// Caption returns the strip in words.
func (s *strip) Caption() string {
	if len(s.bars) == 0 {
		return fmt.Sprintf("Nothing was stored in the last %d h, and nothing waits to be stored.", s.hours)
	}
	stored, minutes, waiting := 0, 0, 0
	for _, b := range s.bars {
		if b.stored+b.live > 0 {
			stored += b.stored + b.live
			minutes++
		}
		waiting += b.waiting
	}
	parts := []string{fmt.Sprintf("%d stored in %d of %d minutes, at most %d in one", stored, minutes, 60*s.hours, s.most())}
	if waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting to be stored", waiting))
	}
	if from, to := s.longestGap(); to > from {
		clock := func(minute int) string {
			return s.from.Add(time.Duration(minute) * time.Minute).UTC().Format("15:04")
		}
		parts = append(parts, fmt.Sprintf("longest gap %d min from %s to %s UTC", to-from, clock(from), clock(to)))
	}
	return strings.Join(parts, "; ") + "."
}

// longestGap returns the longest run of whole minutes without a bar, after the
// first bar. Of several it returns the latest.
func (s *strip) longestGap() (from, to int) {
	last := int(s.now.Sub(s.from) / time.Minute) // the current minute is not over
	next := append(slices.Clone(s.bars[1:]), bar{minute: last})
	for i, b := range s.bars {
		if gap := next[i].minute - b.minute - 1; gap > 0 && gap >= to-from {
			from, to = b.minute+1, next[i].minute
		}
	}
	return from, to
}
