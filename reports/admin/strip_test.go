package admin

import (
	"slices"
	"testing"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/internal/reportstest"
)

var noon = reportstest.Noon

// TestStrip checks that each entry counts into its own minute, that later entries count into the last minute, and that the live window ends now.
func TestStrip(t *testing.T) {
	t.Parallel()
	now := noon.Add(90 * time.Second) // minute 59 of an hour that began at 11:02
	entries := func(after ...time.Duration) (all []index.Entry) {
		for _, d := range after {
			all = append(all, index.Entry{Time: noon.Add(d).UnixNano()})
		}
		return all
	}
	for name, c := range map[string]struct {
		reports.Activity
		window time.Duration
		bars   []bar
		says   string
	}{
		"nothing": {reports.Activity{}, time.Minute, nil, "Nothing was stored in the last 1 h, and nothing waits to be stored."},
		"edges": {reports.Activity{Stored: entries(-58*time.Minute, -57*time.Minute-1, -57*time.Minute, 90*time.Second)}, 15 * time.Second,
			[]bar{{0, 2, 0, 0}, {1, 1, 0, 0}, {59, 0, 1, 0}},
			"4 stored in 3 of 60 minutes, at most 2 in one; longest gap 57 min from 11:04 to 12:01 UTC."},
		"a clock ahead": {reports.Activity{Stored: entries(80*time.Second, 5*time.Minute), Waiting: entries(6 * time.Minute)}, 15 * time.Second,
			[]bar{{59, 0, 2, 1}}, "2 stored in 1 of 60 minutes, at most 3 in one; 1 waiting to be stored."},
		"a long window": {reports.Activity{Stored: entries(-time.Minute, 0, time.Minute)}, 91 * time.Second,
			[]bar{{57, 1, 0, 0}, {58, 0, 1, 0}, {59, 0, 1, 0}}, "3 stored in 3 of 60 minutes, at most 1 in one."},
		"silent since": {reports.Activity{Stored: entries(-10 * time.Minute)}, 15 * time.Second, []bar{{48, 1, 0, 0}},
			"1 stored in 1 of 60 minutes, at most 1 in one; longest gap 10 min from 11:51 to 12:01 UTC."},
		"waiting alone": {reports.Activity{Waiting: entries(-time.Minute, -time.Minute+1)}, 15 * time.Second, []bar{{57, 0, 0, 2}},
			"0 stored in 0 of 60 minutes, at most 2 in one; 2 waiting to be stored; longest gap 1 min from 12:00 to 12:01 UTC."},
	} {
		s := newStrip(c.Activity, now, c.window, 1)
		if !slices.Equal(s.bars, c.bars) {
			t.Errorf("%s: bars %v, want %v", name, s.bars, c.bars)
		}
		if says := s.Caption(); says != c.says {
			t.Errorf("%s: says %q, want %q", name, says, c.says)
		}
	}
}

// TestStripMarks checks that there is a mark at every full hour, and room for its
// label.
func TestStripMarks(t *testing.T) {
	t.Parallel()
	for hours, want := range map[int]struct {
		marks  int
		labels []string
	}{1: {1, nil}, 3: {3, []string{"10:00", "11:00"}}, 6: {6, []string{"07:00", "08:00", "09:00", "10:00", "11:00"}},
		24: {24, []string{"16:00", "20:00", "00:00", "04:00", "08:00"}}} {
		marks := newStrip(reports.Activity{}, noon.Add(time.Second), 0, hours).Marks()
		var labels []string
		for _, m := range marks {
			if m.Label != "" {
				labels = append(labels, m.Label)
			}
		}
		if len(marks) != want.marks || !slices.Equal(labels, want.labels) {
			t.Errorf("%d h: %d marks, labels %q", hours, len(marks), labels)
		}
	}
}
