package bucket_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestStepsValuesAndManyAreBruteForce compares random questions of every kind
// with the plain list of what was stored.
func TestStepsValuesAndManyAreBruteForce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		opts := longAgo()
		opts.Batch = rapid.SampledFrom([]int{1, 3, 256}).Draw(rt, "batch")
		p := newPast(rt, nil, opts)
		for range rapid.IntRange(0, 40).Draw(rt, "values") {
			p.add(rt, rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "tenant"), after(float64(rapid.IntRange(0, 300).Draw(rt, "at"))/10))
		}
		for range 4 {
			from := after(float64(rapid.IntRange(-10, 300).Draw(rt, "from")) / 10)
			to := from.Add(time.Duration(rapid.IntRange(0, 300).Draw(rt, "length")) * 100 * time.Millisecond)
			checkSteps(rt, p, from, to, time.Duration(rapid.IntRange(1, 100).Draw(rt, "step"))*100*time.Millisecond)
			checkValues(rt, p, from, to)
			want := p.want("a", from, to)
			maps.Copy(want, p.want("b", from, to))
			a, err := p.RangeMany(rt.Context(), []string{"a", "b"}, from, to, nil)
			if err != nil || a.Entries != len(want) || !maps.Equal(a.Value, want) {
				rt.Fatalf("many from %v to %v: got %+v, %v, want %v", from, to, a, err, want)
			}
		}
		p.checkUnchanged(rt)
	})
}

func checkSteps(rt rapid.TB, p *past, from, to time.Time, step time.Duration) {
	next := from
	for s, err := range p.Steps(context.Background(), "a", from, to, step, nil) {
		if err != nil || !s.From.Equal(next) || s.To.After(to) || s.To.Sub(s.From) > step {
			rt.Fatalf("step from %v to %v: %v, want it to begin at %v", s.From, s.To, err, next)
		}
		if want := p.want("a", s.From, s.To); s.Entries != len(want) || !maps.Equal(s.Value, want) {
			rt.Fatalf("step from %v to %v: got %+v, want %v", s.From, s.To, s.Answer, want)
		}
		next = s.To
	}
	if !next.Equal(to) {
		rt.Fatalf("the steps end at %v, want %v", next, to)
	}
}

func checkValues(rt *rapid.T, p *past, from, to time.Time) {
	all, last := make(counts), time.Time{}
	for v, err := range p.Values(context.Background(), "a", from, to, nil) {
		if err != nil || v.Tenant != "a" || v.Key == "" || !v.Time.After(last) {
			rt.Fatalf("value %+v after %v: %v", v, last, err)
		}
		last = v.Time
		for id, n := range v.Value {
			all[id] += n
		}
	}
	if want := p.want("a", from, to); !maps.Equal(all, want) {
		rt.Fatalf("values from %v to %v: got %v, want %v", from, to, all, want)
	}
}

// TestStepsLeaveOffEarly ends the sequence at the consumer's wish and refuses
// steps that lead nowhere.
func TestStepsLeaveOffEarly(t *testing.T) {
	t.Parallel()
	p := newPast(t, nil, longAgo())
	p.add(t, "a", after(1))
	n := 0
	for range p.Steps(t.Context(), "a", after(0), after(10), time.Second, nil) {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d steps, want 3", n)
	}
	for _, err := range p.Steps(t.Context(), "a", after(0), after(10), 0, nil) {
		if err == nil {
			t.Error("steps of no length")
		}
	}
}
