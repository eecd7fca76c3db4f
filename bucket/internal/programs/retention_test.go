package programs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

const day = 24 * time.Hour

// TestRetentionInMemory, and the same on a directory, live through retention by
// level: entries go first, and then minutes and hours.
func TestRetentionInMemory(t *testing.T) {
	t.Parallel()
	seeded(t, count(t, 3), func(t *testing.T, seed int) {
		idx, tier := index.NewMemIndex(), new(tiered.MemTier)
		runRetention(t, seed, 12, here(2, mode{Retain: true}, func(rapid.TB) stack {
			return stack{index: idx, authority: tier, close: func() error { return nil }}
		}))
	})
}

func TestRetentionInADirectory(t *testing.T) {
	t.Parallel()
	seeded(t, count(t, 2), func(t *testing.T, seed int) {
		runRetention(t, seed, questions(8), inDirectory(t, mode{Retain: true}))
	})
}

// questions returns how many questions a program asks: a few, and 12 in a long run.
func questions(few int) int {
	if os.Getenv("PROGRAMS") != "" {
		return 12
	}
	return few
}

// TestRetentionOnAWS does so with two collectors, each a process, on a table and a
// bucket. TTL and lifecycle rules are played by deletions.
func TestRetentionOnAWS(t *testing.T) {
	t.Parallel()
	at := servers(t)
	at.Name, at.Mode = "programs-retention", mode{Retain: true}
	at.create(t)
	runRetention(t, 1, questions(3), apart(t, at))
}

// rollUps returns the keys of all roll-ups that are sealed.
func (s stack) rollUps(ctx context.Context) (keys []string, err error) {
	protocol := levels.New(s.index.(index.Places), nil)
	for _, tenant := range tenants {
		for _, level := range (mode{}).levels().Spans {
			places, err := protocol.Places(ctx, tenant, level, 0, math.MaxInt64)
			if err != nil {
				return nil, err
			}
			for _, place := range places {
				if place.Kind == levels.Sealed && place.Entries > 0 {
					keys = append(keys, place.Key)
				}
			}
		}
	}
	return keys, nil
}

// expire removes a tenant's entries of [from, to) and their blobs, as the
// retention of a store does.
func (s stack) expire(ctx context.Context, tenant string, from, to time.Time) (n int, err error) {
	var all iter.Seq2[index.Entry, error]
	switch x := s.index.(type) {
	case index.Scanner:
		all = x.Scan(ctx, tenant, from.UnixNano(), to.UnixNano())
	case entryLister:
		all = x.Entries(ctx, tenant, from.UnixNano(), to.UnixNano())
	default:
		return 0, fmt.Errorf("the entries of a %T cannot be listed", x)
	}
	for e, err := range all {
		if err == nil {
			err = s.index.(index.Deleter).Delete(index.Holding(ctx), index.RowAt(tenant, e.Time), []index.Entry{e})
		}
		if err == nil {
			err = s.authority.(tiered.Deleter).Delete(ctx, []string{e.Key})
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// retention is the life of two days of values.
type retention struct {
	*machine
	*rand.Rand
	questions int // asked at a time
	begin     time.Time
	level     time.Duration // the shortest that is left of the two days
	held      bool          // collectors hold values that are not stored
}

// runRetention asks about random ranges of two days, while their levels are off,
// half built and on, after late values, and while retention takes level by level.
// The days are today's, since stores remove places by their own clocks.
func runRetention(t *testing.T, seed, questions int, w world) {
	r := &retention{Rand: rand.New(rand.NewPCG(uint64(seed), 1)), questions: questions, begin: time.Now().Truncate(day), level: time.Millisecond}
	r.machine = newMachine(t, w, r.begin.Add(2*day+time.Hour))
	defer r.stopAll()
	r.must("fill", r.fill(120))
	r.ask()
	r.now = r.now.Add(time.Hour)
	r.must("roll up a part", r.rollUpBetween(0, "a", r.begin, r.begin.Add(29*time.Hour), false))
	r.ask()
	r.rollUpBoth()
	keys, err := w.stores().rollUps(r.ctx)
	if r.must("list the roll-ups", err); len(keys) < 50 {
		t.Fatalf("%d roll-ups of 120 values in two days", len(keys))
	}
	r.ask()
	r.must("late values", r.late())
	for _, age := range []struct {
		days  float64
		level time.Duration
	}{{5.5, 10 * time.Minute}, {8.1, 2 * time.Hour}, {9.9, 2 * time.Hour}, {12.5, day}} {
		r.grow(r.begin.Add(time.Duration(age.days*float64(day))), age.level)
		r.ask()
		r.refuse()
	}
	r.must("delete a day", r.delete(0, "a", r.begin.UnixNano(), r.begin.Add(day).UnixNano()))
	r.ask()
}

func (r *retention) must(what string, err error) {
	r.Helper()
	if err != nil {
		r.Fatalf("at %v: %s: %v", r.now, what, err)
	}
}

// fill adds values of random instants of the two days, and stores most of them.
func (r *retention) fill(n int) error {
	for range n {
		at := r.begin.Add(time.Duration(r.Int64N(int64(2 * day))).Truncate(time.Millisecond)).UnixNano()
		v := value{tenant: tenants[r.IntN(2)], at: at}
		if err := r.add(r.IntN(len(r.collectors)), v, &bucket.AddOptions{At: time.Unix(0, at)}); err != nil {
			return err
		}
	}
	return r.flushAll()
}

// rollUpBoth has all collectors build the roll-ups of both tenants, of the days that hold values: each day costs
// hundreds of requests.
func (r *retention) rollUpBoth() {
	r.Helper()
	r.now = r.now.Add(20 * time.Minute)
	for _, tenant := range tenants {
		for _, from := range r.days() {
			r.must("roll up "+tenant, r.together(func(i int) error { return r.rollUpBetween(i, tenant, from, from.Add(day), false) }))
		}
	}
}

// days returns when the days begin that hold values.
func (r *retention) days() (days []time.Time) {
	for _, at := range r.model.instants() {
		from := time.Unix(0, at).Truncate(day)
		if len(days) == 0 || days[len(days)-1].Before(from) {
			days = append(days, from)
		}
	}
	return days
}

// late adds to spans that are sealed, and asks before and after these values are
// stored, and when the spans are sealed again. Ticks are open meanwhile.
func (r *retention) late() error {
	r.held = true
	for i := range r.collectors {
		if err := r.add(i, value{tenant: "a", open: true}, nil); err != nil {
			return err
		}
		for range 4 {
			at := r.instant(2 * r.IntN(500))
			if err := r.add(i, value{tenant: tenants[r.IntN(2)], at: at + 1e6}, &bucket.AddOptions{At: time.Unix(0, at+1e6)}); err != nil {
				return err
			}
		}
	}
	r.ask()
	r.now = r.now.Add(time.Hour)
	r.rollUpBoth() // the open ticks are older than the spans
	r.ask()
	r.store()
	r.ask()
	r.rollUpBoth()
	r.ask()
	return nil
}

// grow lets time pass: entries expire, and new ones come. A collector begins
// again.
func (r *retention) grow(to time.Time, level time.Duration) {
	r.store()
	r.now = r.now.Add(26 * time.Hour) // until every level can be built
	r.rollUpBoth()
	r.now, r.level = to, level
	for _, tenant := range tenants {
		_, err := r.world.stores().expire(r.ctx, tenant, r.begin.Add(-time.Hour), r.now.Add(-3*day))
		r.must("expire", err)
	}
	r.stop(0)
	r.now = r.now.Add(time.Millisecond)
	r.start(0)
	r.held = true
	for i := range r.collectors {
		r.must("add", r.add(i, value{tenant: tenants[i%2], open: true}, nil))
	}
	r.now = r.now.Add(time.Millisecond)
}

// store has all collectors store what they hold.
func (r *retention) store() {
	r.Helper()
	r.must("flush", r.flushAll())
	r.held = false
}

// ask asks about random ranges.
func (r *retention) ask() {
	r.Helper()
	for range r.questions {
		tenant := tenants[r.IntN(2)]
		from := r.begin.Add(time.Duration(r.Int64N(int64(2 * day))).Truncate(time.Second))
		to := from.Add(time.Duration(1+r.Int64N(int64(30*time.Hour))).Truncate(time.Second) + time.Second)
		if r.IntN(4) == 0 {
			to = r.now.Add(day)
		} else if end := r.begin.Add(2 * day); to.After(end) {
			to = end
		}
		r.must(fmt.Sprintf("%s from %v to %v", tenant, from, to), errors.Join(r.askAny(tenant, from, to), r.askAligned(tenant, from, to)))
	}
}

// askAny asks about a range that may cut what is left.
func (r *retention) askAny(tenant string, from, to time.Time) error {
	q := r.everywhere()
	a, err := q.Range(r.ctx, tenant, from, to, nil)
	coarser, ok := errors.AsType[*bucket.CoarserError](err)
	if !ok {
		return check(a.Value, err, r.want(tenant, from, to))
	}
	if r.level < time.Second || coarser.NearestFrom.After(from) || coarser.NearestTo.Before(to) || from.Sub(coarser.NearestFrom)+coarser.NearestTo.Sub(to) == 0 {
		return fmt.Errorf("level %v is left: %w", r.level, err)
	}
	a, err = q.Range(r.ctx, tenant, from, to, &bucket.RangeOptions{Round: true})
	if a.From.After(from) || a.To.Before(to) || from.Sub(a.From) >= r.level || a.To.Sub(to) >= r.level {
		return fmt.Errorf("level %v is left: the answer is rounded from %v to %v", r.level, a.From, a.To)
	}
	return check(a.Value, err, r.want(tenant, a.From, a.To))
}

// askAligned asks about the range as whole spans of what is left. A collector
// answers, too: it knows all that is stored, and what it holds itself.
func (r *retention) askAligned(tenant string, from, to time.Time) error {
	from, to = from.Truncate(r.level), to.Add(r.level-1).Truncate(r.level)
	want, q := r.want(tenant, from, to), r.everywhere()
	a, err := q.Range(r.ctx, tenant, from, to, nil)
	if err := check(a.Value, err, want); err != nil {
		return fmt.Errorf("range: %w", err)
	}
	if has, err := q.Has(r.ctx, tenant, from, to); err != nil || has != (len(want) > 0) {
		return fmt.Errorf("has %v, %w; want %v", has, err, want)
	}
	step := (to.Sub(from)/7 + r.level).Truncate(r.level)
	for a, err := range q.Steps(r.ctx, tenant, from, to, step, nil) {
		if err := check(a.Value, err, r.want(tenant, a.From, a.To)); err != nil {
			return fmt.Errorf("step from %v to %v: %w", a.From, a.To, err)
		}
	}
	if len(r.collectors) > 1 && r.held {
		return nil
	}
	a, err = r.collectors[r.IntN(len(r.collectors))].RangeMany(r.ctx, []string{tenant}, from, to, nil)
	return check(a.Value, err, want)
}

func (r *retention) want(tenant string, from, to time.Time) []int {
	return r.model.between(tenant, from.UnixNano(), to.UnixNano(), r.now.UnixNano())
}

// refuse fails to delete a value, and to add one, where only roll-ups are left.
func (r *retention) refuse() {
	r.store()
	at := time.Unix(0, r.model.instants()[0])
	i := slices.IndexFunc(r.model.values, func(v value) bool { return !v.open && v.at == at.UnixNano() })
	tenant := r.model.values[i].tenant
	_, err := r.collectors[0].Delete(r.ctx, tenant, at, at.Add(time.Millisecond), &bucket.DeleteOptions{Wait: -1})
	r.wantFinal("delete", err)
	if r.world.members == 1 {
		r.wantFinal("add", r.collectors[0].Add(r.ctx, tenant, ids{-1}, &bucket.AddOptions{At: at}))
	}
}

// wantFinal wants a *bucket.FinalError, whose text another process tells.
func (r *retention) wantFinal(what string, err error) {
	r.Helper()
	if err == nil || !strings.Contains(err.Error(), "kept as one merge only") {
		r.Errorf("%s in a final span: error %v", what, err)
	}
}
