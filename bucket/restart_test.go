package bucket_test

import (
	"context"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
)

// restarting is a source whose process is killed and started again when it has answered once.
type restarting struct {
	bucket.Source[ids]
	restart func() *bucket.Collector[ids]
}

func (s *restarting) Held(ctx context.Context, tenant string, from, to time.Time) (bucket.Held[ids], error) {
	h, err := s.Source.Held(ctx, tenant, from, to)
	if s.restart != nil {
		s.Source, s.restart = s.restart(), nil
	}
	return h, err
}

// TestARestartDuringAQuestion kills a collector between its answer to a querier and the querier's look at the index. The next process stores
// at once what it finds in the journal, at an instant of its own. The querier has each value once.
func TestARestartDuringAQuestion(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(t *testing.T, c *bucket.Collector[ids], pass func(time.Duration)) ids{
		"an open tick": func(*testing.T, *bucket.Collector[ids], func(time.Duration)) ids { return nil },
		"a tick that has waited for a minute": func(t *testing.T, c *bucket.Collector[ids], pass func(time.Duration)) ids {
			pass(500 * time.Millisecond)
			soon, cancel := context.WithCancel(t.Context())
			cancel()
			_ = c.Flush(soon) // seals, and delivers nothing
			pass(time.Minute)
			return nil
		},
		"an open tick, and the clock a little set back": func(t *testing.T, c *bucket.Collector[ids], pass func(time.Duration)) ids {
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			pass(-500 * time.Millisecond)
			mustAdd(t, c, "a", 2)
			return ids{2}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, now, j := newStores(t), time.Unix(1_700_000_000, 0), newMemJournal()
			opts := journaled(j)
			opts.Now = func() time.Time { return now }
			c := s.collector(t, opts)
			mustAdd(t, c, "a", 1)
			want := append(ids{1}, before(t, c, func(d time.Duration) { now = now.Add(d) })...)
			source := &restarting{c, func() *bucket.Collector[ids] {
				next := *opts
				next.Journal = j.afterKill(0)
				c := s.collector(t, &next)
				if err := c.Flush(t.Context()); err != nil {
					t.Error(err)
				}
				return c
			}}
			a, err := s.querier(t).Range(t.Context(), "a", time.Unix(0, 0), now.Add(time.Hour), []bucket.Source[ids]{source}, nil)
			wantIDs(t, "range", a, err, want)
		})
	}
}
