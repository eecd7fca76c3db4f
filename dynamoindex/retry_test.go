package dynamoindex

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func TestPauses(t *testing.T) {
	t.Parallel()
	fault, throttle := errors.New("fault"), &types.ProvisionedThroughputExceededException{}
	for _, c := range []struct {
		attempt int
		err     error
		bound   time.Duration
	}{
		{0, fault, 25 * time.Millisecond}, // never asked for
		{1, fault, 50 * time.Millisecond},
		{2, fault, 100 * time.Millisecond},
		{4, fault, 400 * time.Millisecond},
		{20, fault, 2 * time.Second},
		{1, throttle, 200 * time.Millisecond},
		{3, throttle, 800 * time.Millisecond},
		{1 << 30, throttle, 2 * time.Second},
	} {
		var longest time.Duration
		for range 300 {
			d, err := pauseAfter(c.attempt, c.err)
			if err != nil || d < 0 {
				t.Fatalf("attempt %d: got %v, error %v", c.attempt, d, err)
			}
			longest = max(longest, d)
		}
		if longest > c.bound || longest < c.bound*3/4 {
			t.Errorf("after attempt %d and %v: up to %v, want up to %v", c.attempt, c.err, longest, c.bound)
		}
	}
}
