package s3blob

import (
	"testing"
	"time"
)

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
