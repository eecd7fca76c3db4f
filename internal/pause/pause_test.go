package pause_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/internal/pause"
)

func TestFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pause, ends, took time.Duration
		want              error
	}{
		"nothing":          {0, time.Second, 0, nil},
		"less than none":   {-time.Second, time.Second, 0, nil},
		"its time":         {time.Second, time.Minute, time.Second, nil},
		"the context ends": {time.Minute, time.Second, time.Second, context.DeadlineExceeded},
		"it has ended":     {time.Minute, 0, 0, context.DeadlineExceeded},
		"nothing, ended":   {0, 0, 0, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				ctx, cancel := context.WithDeadline(t.Context(), begin.Add(c.ends))
				defer cancel()
				if err := pause.For(ctx, c.pause); err != c.want || time.Since(begin) != c.took {
					t.Errorf("got %v after %v, want %v after %v", err, time.Since(begin), c.want, c.took)
				}
			})
		})
	}
}
