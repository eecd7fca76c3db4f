package reports

import (
	"log/slog"
	"slices"
	"testing"
	"time"

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
