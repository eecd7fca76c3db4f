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
	for name, c := range map[string]struct {
		flushed time.Duration // what passes after a first flush
		sealed  bool          // the tick ends before the question
		passes  time.Duration // before the question
		between time.Duration // before the next process starts
	}{
		"an open tick":                        {passes: time.Second},
		"a tick that has waited for a minute": {sealed: true, passes: time.Minute},
		"a tick that is open for a minute":    {passes: time.Minute},
		"a clock that is a little set back":   {flushed: -500 * time.Millisecond},
		"a clock that is set back in between": {passes: 2 * time.Second, between: -time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, now, j := newStores(t), time.Unix(1_700_000_000, 0), newMemJournal()
			opts := journaled(j)
			opts.Now = func() time.Time { return now }
			first := s.collector(t, opts)
			if c.flushed != 0 {
				mustAdd(t, first, "a", 2)
				if err := first.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				now = now.Add(c.flushed)
			}
			mustAdd(t, first, "a", 1)
			if c.sealed {
				soon, cancel := context.WithCancel(t.Context())
				cancel()
				_ = first.Flush(soon) // seals, and delivers nothing
			}
			now = now.Add(c.passes)
			source := &restarting{first, func() *bucket.Collector[ids] {
				now = now.Add(c.between)
				next := *opts
				next.Journal = j.afterKill(0)
				c := s.collector(t, &next)
				if err := c.Flush(t.Context()); err != nil {
					t.Error(err)
				}
				return c
			}}
			a, err := s.querier(t).Range(t.Context(), "a", time.Unix(0, 0), now.Add(time.Hour), []bucket.Source[ids]{source}, nil)
			want := ids{1}
			if c.flushed != 0 {
				want = ids{1, 2}
			}
			wantIDs(t, "range", a, err, want)
		})
	}
}

// TestARestartBetweenTwoNames asks one collector under two names, and restarts it between its two answers.
func TestARestartBetweenTwoNames(t *testing.T) {
	t.Parallel()
	s, now, j := newStores(t), time.Unix(1_700_000_000, 0), newMemJournal()
	opts := journaled(j)
	opts.Now = func() time.Time { return now }
	first := s.collector(t, opts)
	mustAdd(t, first, "a", 1)
	one := &restarting{first, nil}
	two, restarted := &restarting{nil, nil}, make(chan struct{})
	one.restart = func() *bucket.Collector[ids] {
		now = now.Add(time.Second)
		next := *opts
		next.Journal = j.afterKill(0)
		c := s.collector(t, &next)
		two.Source = c
		close(restarted)
		return c
	}
	sources := []bucket.Source[ids]{one, waiting{two, restarted}}
	a, err := s.querier(t).Range(t.Context(), "a", time.Unix(0, 0), now.Add(time.Hour), sources, nil)
	wantIDs(t, "range", a, err, ids{1})
}

// waiting answers when a channel is closed.
type waiting struct {
	bucket.Source[ids]
	until chan struct{}
}

func (s waiting) Held(ctx context.Context, tenant string, from, to time.Time) (bucket.Held[ids], error) {
	<-s.until
	return s.Source.Held(ctx, tenant, from, to)
}
