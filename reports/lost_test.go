package reports

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
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

// TestQueriersNameDamageWithoutTheStore checks that an answer that is made without the store still says what the collectors lack.
func TestQueriersNameDamageWithoutTheStore(t *testing.T) {
	t.Parallel()
	idx, blobs := faulttest.NewIndex(index.NewMemIndex(), 1), new(tiered.MemTier)
	var err error
	p := memoryPeer{}
	if p.Collector, err = New(idx, blobs, &Options{JournalDamaged: func() bool { return true }}); err != nil {
		t.Fatal(err)
	}
	q, err := NewQuerier(idx, blobs, peerList{p}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := func(missing ...string) {
		t.Helper()
		if a, err := q.Report(t.Context(), "a", q.AfterNow()); err != nil || !slices.Equal(a.Missing, missing) {
			t.Errorf("missing %q, error %v, want %q", a.Missing, err, missing)
		}
	}
	want("journal of memory:1")
	idx.Inject(faulttest.Fault{Op: faulttest.Query, Err: errors.New("away")})
	want(MissingStore, "journal of memory:1")
	idx.Heal()
	if err := errors.Join(q.Close(t.Context()), p.Close(t.Context())); err != nil {
		t.Error(err)
	}
}
