package retrybudget

import (
	"errors"
	"testing"
	"time"
)

func TestBudget(t *testing.T) {
	t.Parallel()
	now := time.Unix(1700000000, 0)
	b := New(500, 50, func() time.Time { return now })
	drain := func() (n int) {
		for {
			if _, err := b.GetToken(t.Context(), 5); err != nil {
				if !errors.Is(err, ErrExhausted) {
					t.Fatal(err)
				}
				return n
			}
			n++
		}
	}
	for _, c := range []struct {
		passes time.Duration
		want   int
	}{
		{0, 100},
		{0, 0},
		{99 * time.Millisecond, 0},
		{time.Millisecond, 1}, // no part of a token is lost
		{time.Second, 10},
		{time.Hour, 100},
		{-time.Hour, 0}, // a clock that is set back gives nothing twice
		{time.Hour + 100*time.Millisecond, 1},
	} {
		now = now.Add(c.passes)
		if got := drain(); got != c.want {
			t.Errorf("%v later: %d retries, want %d", c.passes, got, c.want)
		}
	}
}

// TestGiven checks that what a success gives back is there again, and no more than the
// bucket holds.
func TestGiven(t *testing.T) {
	t.Parallel()
	b := New(10, 1, func() time.Time { return time.Unix(0, 0) })
	release, err := b.GetToken(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.GetToken(t.Context(), 1); !errors.Is(err, ErrExhausted) {
		t.Errorf("an empty bucket: got error %v", err)
	}
	if err := errors.Join(release(), b.AddTokens(90)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cost uint
		want error
	}{{11, ErrExhausted}, {10, nil}, {1, ErrExhausted}} {
		if _, err := b.GetToken(t.Context(), c.cost); !errors.Is(err, c.want) {
			t.Errorf("%d tokens: got error %v, want %v", c.cost, err, c.want)
		}
	}
}
