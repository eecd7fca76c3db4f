package reports

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/timeblob/timeblob/index"
)

// activity is when reports of a tenant were stored, or wait to be.
type activity struct {
	stored  []index.Entry // of the index, ascending
	waiting []index.Entry // in memory alone, ascending
}

// activity returns what was stored of a tenant from an instant on. It asks the
// index once and reads no report.
func (c *Collector) activity(ctx context.Context, tenant string, from time.Time) (a activity, err error) {
	waiting := c.live.Waiting(tenant) // first: what becomes discoverable meanwhile is in both
	if a.stored, err = c.entries(ctx, tenant, from, c.soon()); err != nil {
		return a, err
	}
	a.waiting = without(waiting, a.stored, from)
	return a, nil
}

// activity returns what was stored of a tenant from an instant on.
func (q *Querier) activity(ctx context.Context, tenant string, from time.Time) (a activity, err error) {
	a.stored, err = q.entries(ctx, tenant, from, q.soon())
	return a, err
}

// without returns those of waiting, from an instant on, that are not in stored.
func without(waiting, stored []index.Entry, from time.Time) (left []index.Entry) {
	for _, e := range waiting {
		i, found := slices.BinarySearchFunc(stored, e.Time, func(s index.Entry, at int64) int { return cmp.Compare(s.Time, at) })
		if (!found || stored[i] != e) && e.Time >= from.UnixNano() {
			left = append(left, e)
		}
	}
	return left
}

// bar is a minute in which reports of a tenant were stored.
type bar struct {
	minute  int // from the strip's start on
	stored  int // before the live window
	live    int // stored within it
	waiting int // in memory alone
}

func (b bar) sum() int { return b.stored + b.live + b.waiting }

// strip is the bars of some hours until now. Minutes without reports have
// none.
type strip struct {
	from, now time.Time // from is the start of a minute
	window    time.Duration
	hours     int
	bars      []bar // ascending
}

// stripStart returns when a strip of that many hours begins: its last minute
// is the one that now is in.
func stripStart(now time.Time, hours int) time.Time {
	return now.Truncate(time.Minute).Add(-time.Duration(hours)*time.Hour + time.Minute)
}

// newStrip returns the strip of an activity. What bears an instant later than
// now, from a clock that is ahead, counts into the last minute.
func newStrip(a activity, now time.Time, window time.Duration, hours int) *strip {
	s := &strip{from: stripStart(now, hours), now: now, window: window, hours: hours}
	minutes := make([]bar, 60*hours)
	live := now.Add(-window).UnixNano()
	for _, e := range a.stored {
		if m := &minutes[s.minute(e)]; e.Time > live {
			m.live++
		} else {
			m.stored++
		}
	}
	for _, e := range a.waiting {
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

// minute returns which of the strip's minutes an entry is in.
func (s *strip) minute(e index.Entry) int {
	return min(int((e.Time-s.from.UnixNano())/int64(time.Minute)), 60*s.hours-1)
}

// at returns how far an instant is from the strip's start, as SVG has it.
func (s *strip) at(t time.Time) string {
	return percent(float64(t.Sub(s.from)) / float64(time.Duration(s.hours)*time.Hour))
}

func percent(share float64) string { return fmt.Sprintf("%.3f%%", 100*share) }

// The strip's geometry, in pixels; horizontally it fills what room there is.
const (
	stripTop  = 8
	stripBase = 104 // the bars' lower ends
)

// barView is a bar as the page draws it.
type barView struct {
	Title, X, Width string
	Parts           []partView // from the base up
}

// partView is one colour of a bar.
type partView struct{ Class, Y, Height string }

// Bars returns the bars to draw, the highest of them at full height.
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

// title says what a bar shows.
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

// most returns the highest bar's sum, 0 when there are none.
func (s *strip) most() (n int) {
	for _, b := range s.bars {
		n = max(n, b.sum())
	}
	return n
}

// hourMark is a full hour on the strip.
type hourMark struct {
	X, Label string // without a label it is a line only
}

// Marks returns the full hours: as many of them with a label as a telephone
// has room for, and none that "now" would cover.
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

// Now returns where now is.
func (s *strip) Now() string { return s.at(s.now) }

// LiveWidth returns the width of the live window's band, which ends now.
func (s *strip) LiveWidth() string { return percent(s.liveShare()) }

// LiveX returns where the live window begins.
func (s *strip) LiveX() string {
	return percent(float64(s.now.Sub(s.from))/float64(time.Duration(s.hours)*time.Hour) - s.liveShare())
}

func (s *strip) liveShare() float64 {
	return float64(min(s.window, s.now.Sub(s.from))) / float64(time.Duration(s.hours)*time.Hour)
}

// Says returns the strip in words.
func (s *strip) Says() string {
	if len(s.bars) == 0 {
		return fmt.Sprintf("Nothing was stored in the last %d h, and nothing waits to be.", s.hours)
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

// longestGap returns the longest run of whole minutes without a bar since the
// first that has one; the latest of several.
func (s *strip) longestGap() (from, to int) {
	last := int(s.now.Sub(s.from) / time.Minute) // the minute that now is in is not over
	next := append(slices.Clone(s.bars[1:]), bar{minute: last})
	for i, b := range s.bars {
		if gap := next[i].minute - b.minute - 1; gap > 0 && gap >= to-from {
			from, to = b.minute+1, next[i].minute
		}
	}
	return from, to
}
