package reports

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/reports/report"
)

// TestAnswersAboutNowAfterTheClockWasSet sets the clock: an answer about now then
// lacks what came before, and says so until a window has passed.
func TestAnswersAboutNowAfterTheClockWasSet(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]time.Duration{"on": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, nil)
			elapsed := time.Duration(0)
			f.Collector.clock.look = func() (time.Duration, time.Duration) { return f.clock.Now().Sub(noon), elapsed }
			pass := func(d time.Duration) {
				f.clock.Advance(d)
				elapsed += d
			}
			ask := func() Answer {
				t.Helper()
				a, err := f.Ask(t.Context(), "a", Question{To: f.AfterNow()})
				if err != nil {
					t.Fatal(err)
				}
				return a
			}
			want := func(when string, missing ...string) {
				t.Helper()
				if got := ask().Missing; !slices.Equal(got, missing) {
					t.Errorf("%s: missing %v, want %v", when, got, missing)
				}
			}
			f.add(t, "a", hosts("h1"), "")
			if err := f.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			want("before")
			pass(5 * time.Second)
			want("5 s later")
			f.clock.Advance(by)
			a := ask()
			if n := len(a.Report.Topologies[report.Host].Nodes); n != 0 {
				t.Fatalf("%d hosts: the answer is whole, and need not say anything", n)
			}
			want("after the clock was set", MissingClock)
			f.add(t, "a", hosts("h2"), "")
			if err := f.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			pass(14 * time.Second)
			want("within the window", MissingClock)
			pass(time.Second)
			want("a window later")
		})
	}
}

// TestQuerierAfterTheClockWasSet sets the clock of a query service: it says so with
// the store, without it, and for a window.
func TestQuerierAfterTheClockWasSet(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	idx := faulttest.NewIndex(f.index, 1)
	q, err := NewQuerier(idx, f.authority, peerList{memoryPeer{Collector: f.Collector}}, &QuerierOptions{Now: f.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	var set, elapsed time.Duration
	q.clock.look = func() (time.Duration, time.Duration) { return elapsed + set, elapsed }
	want := func(when string, missing ...string) {
		t.Helper()
		a, err := q.Ask(t.Context(), "a", Question{To: q.AfterNow()})
		if err != nil || !slices.Equal(a.Missing, missing) {
			t.Errorf("%s: missing %v, error %v, want %v", when, a.Missing, err, missing)
		}
	}
	want("before")
	set = time.Hour
	want("after the clock was set", MissingClock)
	if a, err := q.Range(t.Context(), "a", noon.Add(-time.Hour), noon); err != nil || len(a.Missing) > 0 {
		t.Errorf("a range: missing %v, error %v", a.Missing, err)
	}
	elapsed = 14 * time.Second
	idx.Inject(faulttest.Fault{Op: faulttest.Query, Err: errors.New("away")})
	want("within the window, without the store", MissingClock, MissingStore)
	elapsed = 15 * time.Second
	want("a window later, without the store", MissingStore)
	idx.Heal()
	want("a window later")
	if err := errors.Join(q.Close(t.Context()), f.Close(t.Context())); err != nil {
		t.Error(err)
	}
}

// TestSetClock holds: time that passes, slow drift and small steps are not a clock
// that was set.
func TestSetClock(t *testing.T) {
	t.Parallel()
	var shown, elapsed time.Duration
	c := newSetClock(time.Now, 15*time.Second, slog.New(slog.DiscardHandler))
	c.look = func() (time.Duration, time.Duration) { return shown, elapsed }
	for range 1000 {
		shown += 5*time.Second + 100*time.Millisecond
		elapsed += 5 * time.Second
		if got := c.missing(); got != nil {
			t.Fatalf("drift: %v after %v", got, elapsed)
		}
	}
	shown -= 2 * time.Second
	if c.missing() == nil {
		t.Error("a step back of 2 s is not noticed")
	}
	real := newSetClock(time.Now, time.Second, slog.New(slog.DiscardHandler))
	if got := real.missing(); got != nil {
		t.Errorf("the real clock: %v", got)
	}
}
