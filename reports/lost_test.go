package reports

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// TestAnswersAfterADamagedJournal checks that answers about times before the start name the journal while it is damaged, and
// later ones do not.
func TestAnswersAfterADamagedJournal(t *testing.T) {
	t.Parallel()
	var damaged atomic.Bool
	f := setup(t, func(o *Options) { o.JournalDamaged = damaged.Load })
	want := func(q Question, missing ...string) {
		t.Helper()
		if a, err := f.Ask(t.Context(), "a", q); err != nil || !slices.Equal(a.Missing, missing) {
			t.Errorf("missing %v, error %v, want %v", a.Missing, err, missing)
		}
	}
	hour := Question{Ranged: true, From: noon.Add(-time.Hour), To: noon}
	want(hour)
	want(Question{To: f.AfterNow()})
	damaged.Store(true)
	want(hour, MissingJournal)
	want(Question{To: f.AfterNow()}, MissingJournal)
	want(Question{To: f.Now().Add(-time.Minute)}, MissingJournal)
	want(Question{Ranged: true, From: noon, To: noon.Add(time.Minute)})
	f.clock.Advance(time.Minute)
	want(Question{To: f.AfterNow()})
	if err := f.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
