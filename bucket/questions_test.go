package bucket_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/bucket"
)

// told is a sealed value that a collector was given.
type told struct {
	owner  int
	tenant string
	at     time.Time
	values ids
	stored bool
}

// pair is two collectors of one store, and the plain list of what they hold.
type pair struct {
	*stores
	now        time.Time
	collectors [2]*bucket.Collector[ids]
	sources    []bucket.Source[ids]
	ended      [2]time.Time // when ticks were sealed last
	open       [2]map[string]ids
	begun      [2]map[string]time.Time // when the first value of each open tick was added
	all        []*told
	next       int
}

func newPair(t *testing.T) *pair {
	p := &pair{stores: newStores(t), now: time.Unix(1_700_000_000, 0)}
	for i := range p.collectors {
		opts := fast()
		opts.Now = func() time.Time { return p.now }
		p.collectors[i], p.ended[i] = p.collector(t, opts), p.now
		p.open[i], p.begun[i] = make(map[string]ids), make(map[string]time.Time)
		p.sources = append(p.sources, p.collectors[i])
	}
	return p
}

// act does something to one collector. The clock moves on each time, so that no
// two values have one instant.
func (p *pair) act(t *testing.T, rt *rapid.T) {
	p.now = p.now.Add(time.Duration(rapid.IntRange(1, 4000).Draw(rt, "ms")) * time.Millisecond)
	i := rapid.IntRange(0, 1).Draw(rt, "collector")
	tenant := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "tenant")
	p.next++
	switch rapid.SampledFrom([]string{"add", "add", "add blob", "add at", "seal", "flush"}).Draw(rt, "operation") {
	case "add":
		mustAdd(t, p.collectors[i], tenant, p.next)
		p.opened(i, tenant)
	case "add blob":
		mustAddBlob(t, p.collectors[i], tenant, p.next)
		p.opened(i, tenant)
	case "add at":
		at := p.now.Add(-time.Duration(rapid.IntRange(1, 20_000).Draw(rt, "ago"))*time.Millisecond + time.Duration(p.next)*time.Microsecond)
		mustAddAt(t, p.collectors[i], tenant, at, p.next)
		p.all = append(p.all, &told{i, tenant, at, ids{p.next}, false})
	case "seal":
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = p.collectors[i].Flush(ctx) // seals, and delivers nothing
		p.seal(i)
	case "flush":
		if err := p.collectors[i].Flush(t.Context()); err != nil {
			rt.Fatal(err)
		}
		p.seal(i)
		for _, v := range p.all {
			v.stored = v.stored || v.owner == i
		}
	}
}

// opened adds the next value to an open tick.
func (p *pair) opened(i int, tenant string) {
	if len(p.open[i][tenant]) == 0 {
		p.begun[i][tenant] = p.now
	}
	p.open[i][tenant] = append(p.open[i][tenant], p.next)
}

func (p *pair) seal(i int) {
	for tenant, values := range p.open[i] {
		p.all = append(p.all, &told{i, tenant, p.now, values, false})
	}
	clear(p.open[i])
	p.ended[i] = p.now
}

// values returns what a question finds that asks some of the collectors: sealed
// values, and the open ticks that the range reaches, at the instant to come.
func (p *pair) values(of []int, tenant string, from, to time.Time) (found []told) {
	for _, v := range p.all {
		if v.tenant == tenant && !v.at.Before(from) && v.at.Before(to) && (v.stored || slices.Contains(of, v.owner)) {
			found = append(found, *v)
		}
	}
	for _, i := range of {
		if values := p.open[i][tenant]; len(values) > 0 && from.Before(to) && !p.now.Before(from) && to.After(p.ended[i]) && to.After(p.begun[i][tenant]) {
			found = append(found, told{i, tenant, p.now, values, false})
		}
	}
	slices.SortStableFunc(found, func(a, b told) int { return a.at.Compare(b.at) })
	return found
}

// provisional returns the first of the last seals of some collectors, where the
// range reaches past it.
func (p *pair) provisional(of []int, to time.Time) (first time.Time) {
	for _, i := range of {
		if to.After(p.ended[i]) && (first.IsZero() || p.ended[i].Before(first)) {
			first = p.ended[i]
		}
	}
	return first
}

func sum(values []told) (all ids) {
	for _, v := range values {
		all = append(all, v.values...)
	}
	slices.Sort(all)
	return all
}

// questions asks a collector or a querier.
type questions struct {
	of     []int // the collectors that are asked
	many   func(from, to time.Time) (bucket.Answer[ids], error)
	steps  func(from, to time.Time, step time.Duration) iter.Seq2[bucket.Step[ids], error]
	values func(from, to time.Time) iter.Seq2[bucket.Value[ids], error]
}

func (p *pair) questions(t *testing.T) []questions {
	ctx, q, both := t.Context(), p.querier(t), []string{"a", "b"}
	all := []questions{{of: []int{0, 1},
		many: func(from, to time.Time) (bucket.Answer[ids], error) {
			return q.RangeMany(ctx, both, from, to, p.sources, nil)
		},
		steps: func(from, to time.Time, step time.Duration) iter.Seq2[bucket.Step[ids], error] {
			return q.Steps(ctx, "a", from, to, step, p.sources, nil)
		},
		values: func(from, to time.Time) iter.Seq2[bucket.Value[ids], error] {
			return q.Values(ctx, "a", from, to, p.sources, nil)
		}}}
	for i, c := range p.collectors {
		all = append(all, questions{of: []int{i},
			many: func(from, to time.Time) (bucket.Answer[ids], error) { return c.RangeMany(ctx, both, from, to, nil) },
			steps: func(from, to time.Time, step time.Duration) iter.Seq2[bucket.Step[ids], error] {
				return c.Steps(ctx, "a", from, to, step, nil)
			},
			values: func(from, to time.Time) iter.Seq2[bucket.Value[ids], error] {
				return c.Values(ctx, "a", from, to, nil)
			}})
	}
	return all
}

// TestQuestionsAreBruteForce compares the questions of collectors and of a
// querier with plain lists: with open ticks, held values, and past instants.
func TestQuestionsAreBruteForce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p := newPair(t)
		all := p.questions(t)
		for range rapid.IntRange(1, 30).Draw(rt, "operations") {
			p.act(t, rt)
		}
		for range 3 {
			from := p.now.Add(-time.Duration(rapid.IntRange(-1000, 30_000).Draw(rt, "from")) * time.Millisecond)
			to := from.Add(time.Duration(rapid.IntRange(0, 40_000).Draw(rt, "length")) * time.Millisecond)
			step := time.Duration(rapid.IntRange(300, 30_000).Draw(rt, "step")) * time.Millisecond
			for _, q := range all {
				p.checkMany(rt, q, from, to)
				p.checkSteps(rt, q, from, to, step)
				p.checkValues(rt, q, from, to)
			}
		}
	})
}

func (p *pair) checkMany(rt *rapid.T, q questions, from, to time.Time) {
	want := append(p.values(q.of, "a", from, to), p.values(q.of, "b", from, to)...)
	a, err := q.many(from, to)
	wantIDs(rt, "many", a, err, sum(want))
	if a.Entries != len(want) || !a.Provisional.Equal(p.provisional(q.of, to)) {
		rt.Fatalf("many of %v: %d entries, provisional from %v, want %d and %v", q.of, a.Entries, a.Provisional, len(want), p.provisional(q.of, to))
	}
}

func (p *pair) checkSteps(rt *rapid.T, q questions, from, to time.Time, step time.Duration) {
	found, provisional, next := p.values(q.of, "a", from, to), p.provisional(q.of, to), from
	for s, err := range q.steps(from, to, step) {
		var want []told
		for _, v := range found {
			if at := min(v.at.UnixNano(), to.UnixNano()-1); at >= s.From.UnixNano() && at < s.To.UnixNano() {
				want = append(want, v)
			}
		}
		wantIDs(rt, "a step", s.Value, err, sum(want))
		if !s.From.Equal(next) || s.Entries != len(want) {
			rt.Fatalf("step from %v: %d entries, want %d from %v", s.From, s.Entries, len(want), next)
		}
		if late := !provisional.IsZero() && s.To.After(provisional); late != !s.Provisional.IsZero() || late && !s.Provisional.Equal(provisional) {
			rt.Fatalf("step to %v: provisional from %v, want %v", s.To, s.Provisional, provisional)
		}
		next = s.To
	}
	if !next.Equal(to) {
		rt.Fatalf("the steps end at %v, want %v", next, to)
	}
}

func (p *pair) checkValues(rt *rapid.T, q questions, from, to time.Time) {
	want := p.values(q.of, "a", from, to)
	var got []told
	for v, err := range q.values(from, to) {
		if err != nil || v.Err != nil || v.Tenant != "a" {
			rt.Fatalf("value %+v: %v", v, err)
		}
		got = append(got, told{at: v.Time, values: v.Value})
	}
	same := func(a, b told) bool { return a.at.Equal(b.at) }
	if !slices.EqualFunc(got, want, same) || !slices.Equal(sum(got), sum(want)) {
		rt.Fatalf("values of %v from %v to %v: got %v, want %v", q.of, from, to, got, want)
	}
}

// TestProvisionalAfterAClockWentBack holds: values may still come into a range
// around the clock's time, though ticks were sealed at a later time.
func TestProvisionalAfterAClockWentBack(t *testing.T) {
	t.Parallel()
	r := newResting(t, nil)
	r.now = r.now.Add(-time.Hour)
	mustAdd(t, r.Collector, "a", 1)
	from, to := r.now.Add(-time.Second), r.now.Add(time.Second)
	a, err := r.Range(t.Context(), "a", from, to, nil)
	b, err2 := r.querier(t).Range(t.Context(), "a", from, to, []bucket.Source[ids]{r.Collector}, nil)
	for _, got := range []bucket.Answer[ids]{a, b} {
		wantIDs(t, "answer", got, errors.Join(err, err2), ids{1})
		if !got.Provisional.Equal(r.now) {
			t.Errorf("provisional from %v, want %v", got.Provisional, r.now)
		}
	}
}

// old is a collector of an earlier version, which does not tell its last seal.
type old struct{ bucket.Source[ids] }

func (o old) Held(ctx context.Context, tenant string, from, to time.Time) (bucket.Held[ids], error) {
	h, err := o.Source.Held(ctx, tenant, from, to)
	h.Since = 0
	return h, err
}

// TestProvisionalOfOldCollectors holds: an answer with an open tick says that it
// is provisional, whatever its source tells.
func TestProvisionalOfOldCollectors(t *testing.T) {
	t.Parallel()
	r := newResting(t, nil)
	sealed := r.now
	r.now = r.now.Add(time.Second)
	mustAdd(t, r.Collector, "a", 1)
	q := r.querier(t)
	for _, c := range []struct {
		source bucket.Source[ids]
		to     time.Time
		want   time.Time
	}{
		{r.Collector, r.now.Add(1), sealed},
		{old{r.Collector}, r.now.Add(1), r.now},
		{old{r.Collector}, sealed, time.Time{}},
	} {
		a, err := q.Range(t.Context(), "a", sealed.Add(-time.Second), c.to, []bucket.Source[ids]{c.source}, nil)
		if err != nil || !a.Provisional.Equal(c.want) || (len(a.Value) > 0) != !c.want.IsZero() {
			t.Errorf("up to %v: got %+v, %v, want provisional from %v", c.to, a, err, c.want)
		}
	}
}
