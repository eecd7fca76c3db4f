package s3blob

import (
	"errors"
	"testing"
	"time"
)

// TestBudget spends and refills: what a retry took comes back when it
// succeeds, and with time whatever happened.
func TestBudget(t *testing.T) {
	t.Parallel()
	now := time.Unix(1, 0)
	b := newBudget(20, func() time.Time { return now })
	for _, step := range []struct {
		passed time.Duration
		takes  int // that go well
		back   int // of which succeed
	}{
		{0, 4, 0},
		{999 * time.Millisecond, 0, 0},
		{time.Millisecond, 1, 1},
		{0, 1, 0},
		{3 * time.Second, 3, 2},
		{time.Hour, 4, 0},
		{-time.Hour, 0, 0}, // a clock that was set back
		{time.Hour + time.Second, 1, 0},
	} {
		now = now.Add(step.passed)
		var release []func() error
		for range step.takes {
			back, err := b.GetToken(t.Context(), retryCost)
			if err != nil {
				t.Fatalf("%+v: %v", step, err)
			}
			release = append(release, back)
		}
		if _, err := b.GetToken(t.Context(), retryCost); !errors.Is(err, errBudget) {
			t.Errorf("%+v: one more: %v, want %v", step, err, errBudget)
		}
		for _, back := range release[:step.back] {
			if err := back(); err != nil {
				t.Fatal(err)
			}
		}
		// What comes back is there for the next step, which takes it.
		if step.back == 2 {
			for range 2 {
				if _, err := b.GetToken(t.Context(), retryCost); err != nil {
					t.Errorf("%+v: %v", step, err)
				}
			}
		}
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for attempt, most := range map[int]time.Duration{
		-1: minBackoff, 0: minBackoff, 1: minBackoff, 2: 2 * minBackoff, 5: 16 * minBackoff, 7: maxBackoff, 100: maxBackoff,
	} {
		var longest time.Duration
		for range 1000 {
			d, err := backoff(attempt, nil)
			if err != nil || d < 0 || d >= most {
				t.Fatalf("attempt %d: %v, %v, want less than %v", attempt, d, err, most)
			}
			longest = max(longest, d)
		}
		if longest < most*9/10 {
			t.Errorf("attempt %d: at most %v in 1000, want nearly %v", attempt, longest, most)
		}
	}
}

// TestPercentile measures GETs and looks for the 95th percentile of the last.
func TestPercentile(t *testing.T) {
	t.Parallel()
	h := &hedges{budget: 0.1}
	for i := 1; i < enough; i++ {
		h.took(time.Duration(i))
	}
	if delay := h.begin(); delay != 0 {
		t.Errorf("after %d GETs the delay is %d, want none", enough-1, delay)
	}
	for i := 1; i <= 4*recent; i++ {
		h.took(time.Duration(i))
	}
	h.took(0)
	// The count is now 63+1024+1; the last computation was at 1088.
	if delay, want := h.begin(), time.Duration(3*recent+recent*95/100); delay < want-2 || delay > want+2 {
		t.Errorf("the delay is %d, want about %d", delay, want)
	}
	for range 8 {
		h.begin()
	}
	if h.spend(); h.spend() {
		t.Error("ten GETs at 0.1 earned more than one hedge")
	}
	for range 1000 {
		h.begin()
	}
	for i := range saved + 1 {
		if got, want := h.spend(), i < saved; got != want {
			t.Errorf("hedge %d of those saved up: %v, want %v", i, got, want)
		}
	}
}
