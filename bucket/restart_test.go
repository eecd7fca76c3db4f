package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
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

// versioned is a source that tells its version by itself.
type versioned struct{ *restarting }

// Version implements bucket.VersionSource.
func (s versioned) Version(ctx context.Context, tenant string) (string, error) {
	h, err := s.Source.Held(ctx, tenant, time.Unix(0, 0), time.Unix(0, 1))
	return h.Version, err
}

// afterKill returns a collector that has stored what a killed one has left in its journal.
func (s *stores) afterKill(t *testing.T, j *memJournal, opts *bucket.CollectorOptions[ids]) *bucket.Collector[ids] {
	t.Helper()
	next := *opts
	next.Journal = j.afterKill(0)
	c := s.collector(t, &next)
	if err := c.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	return c
}

// TestARestartDuringAQuestion kills a collector between its answer to a querier and the querier's look at the index. The next process stores
// at once what it finds in the journal, at an instant of its own. The querier has each value once.
func TestARestartDuringAQuestion(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flush   bool          // another tick first
		flushed time.Duration // what passes after that
		sealed  bool          // the tick ends before the question
		passes  time.Duration // before the question
		between time.Duration // before the next process starts
	}{
		"an open tick":                        {passes: time.Second},
		"a tick that has waited for a minute": {sealed: true, passes: time.Minute},
		"a tick that is open for a minute":    {passes: time.Minute},
		"a clock that is a little set back":   {flush: true, flushed: -500 * time.Millisecond},
		"a clock that is set back in between": {passes: 2 * time.Second, between: -time.Second},
		"an hour back, to the last seal":      {flush: true, passes: 2 * time.Second, between: -time.Hour},
		"an hour back":                        {passes: 2 * time.Second, between: -time.Hour},
		"an hour back, sealed":                {sealed: true, passes: 2 * time.Second, between: -time.Hour},
		"an hour ahead":                       {passes: 2 * time.Second, between: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, now, j := newStores(t), time.Unix(1_700_000_000, 0), newMemJournal()
			opts := journaled(j)
			opts.Now = func() time.Time { return now }
			first := s.collector(t, opts)
			if c.flush {
				mustAdd(t, first, "a", 2)
				if err := first.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				now = now.Add(c.flushed)
			}
			now = now.Add(1)
			mustAdd(t, first, "a", 1)
			if c.sealed {
				soon, cancel := context.WithCancel(t.Context())
				cancel()
				_ = first.Flush(soon) // seals, and delivers nothing
			}
			now = now.Add(c.passes)
			until := now.Add(2 * time.Hour)
			source := &restarting{first, func() *bucket.Collector[ids] {
				now = now.Add(c.between)
				return s.afterKill(t, j, opts)
			}}
			want := ids{1}
			if c.flush {
				want = ids{1, 2}
			}
			a, err := s.querier(t).Range(t.Context(), "a", time.Unix(1_700_000_000, 0).Add(-2*time.Hour), until, []bucket.Source[ids]{source}, nil)
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
	a, err := s.querier(t).Range(t.Context(), "a", time.Unix(1_700_000_000, 0).Add(-2*time.Hour), now.Add(time.Hour), sources, nil)
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

// ending is a journal during whose next Append something happens.
type ending struct {
	*memJournal
	during func()
}

func (j *ending) Append(ctx context.Context, kind byte, meta, blob []byte) (uint64, error) {
	id, err := j.memJournal.Append(ctx, kind, meta, blob)
	if j.during != nil {
		j.during()
	}
	return id, err
}

// TestARestartAfterARecordAcrossASeal ends a tick while the record of a value is written, so that the record is older than the seal. Then the
// collector is killed during a question, and its clock is set back. Its source tells its version by itself.
func TestARestartAfterARecordAcrossASeal(t *testing.T) {
	t.Parallel()
	s, now, j := newStores(t), time.Unix(1_700_000_000, 0), &ending{memJournal: newMemJournal()}
	opts := journaled(j)
	opts.Now = func() time.Time { return now }
	first := s.collector(t, opts)
	now = now.Add(time.Second)
	j.during = func() {
		j.during = nil
		now = now.Add(time.Millisecond)
		if err := first.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		now = now.Add(time.Millisecond)
	}
	mustAdd(t, first, "a", 1)
	now = now.Add(500 * time.Millisecond)
	source := versioned{&restarting{first, func() *bucket.Collector[ids] {
		now = now.Add(-time.Second)
		return s.afterKill(t, j.memJournal, opts)
	}}}
	a, err := s.querier(t).Range(t.Context(), "a", time.Unix(1_700_000_000, 0).Add(-2*time.Hour), now.Add(time.Hour), []bucket.Source[ids]{source}, nil)
	wantIDs(t, "range", a, err, ids{1})
}

// changing is a source whose process is another one each time, and which is slow to tell its version.
type changing struct {
	bucket.Source[ids]
	asked int
}

func (s *changing) Held(ctx context.Context, tenant string, from, to time.Time) (bucket.Held[ids], error) {
	s.asked++
	h, err := s.Source.Held(ctx, tenant, from, to)
	h.Version = fmt.Sprintf("process %d-1", s.asked)
	return h, err
}

// Version implements bucket.VersionSource.
func (s *changing) Version(context.Context, string) (string, error) {
	time.Sleep(time.Second)
	s.asked++
	return fmt.Sprintf("process %d-1", s.asked), nil
}

// TestASourceThatNeverStaysTheSame is given up after some seconds. The answer names it.
func TestASourceThatNeverStaysTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores(t)
		c := s.collector(t, journaled(newMemJournal()))
		mustAdd(t, c, "a", 1)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_ = c.Flush(ended) // seals, and delivers nothing
		begun := time.Now()
		a, err := s.querier(t).Range(t.Context(), "a", begun.Add(-time.Hour), begun.Add(time.Hour), []bucket.Source[ids]{&changing{Source: c}}, nil)
		if took := time.Since(begun); took > 5*time.Second || err != nil || len(a.Missing) != 1 || !errors.Is(a.Missing[0].Err, bucket.ErrUnstable) {
			t.Errorf("after %v: %v, %v, want one missing source", took, a, err)
		}
	})
}
