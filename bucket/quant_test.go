package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
)

// TestRangeIsItsEntries compares random questions, between random and late
// entries of several rows and tenants, with a plain list.
func TestRangeIsItsEntries(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := newPast(t, nil, &bucket.QuantizerOptions[counts]{
			Quantum:    rapid.SampledFrom([]time.Duration{time.Millisecond, 3 * time.Second, 7*time.Second + 1, 5 * time.Hour}).Draw(t, "quantum"),
			CacheBytes: rapid.SampledFrom([]int64{-1, 0, 1000}).Draw(t, "cache"),
			Rows:       rapid.IntRange(1, 3).Draw(t, "rows"),
			Batch:      rapid.IntRange(0, 4).Draw(t, "batch"),
			Now:        func() time.Time { return after(100) },
		})
		tenants := rapid.SampledFrom([]string{"a", "b"})
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) { p.add(t, tenants.Draw(t, "tenant"), anyTime().Draw(t, "at")) },
			"ask": func(t *rapid.T) {
				from, to := anyRange(t)
				p.checkAll(t, tenants.Draw(t, "tenant"), from, to)
			},
		})
		for _, tenant := range []string{"a", "b"} {
			p.checkAll(t, tenant, after(-4*24*3600), after(4*24*3600))
		}
		p.checkUnchanged(t)
	})
}

// anyTime favours the edges of quanta and of hours about noon.
func anyTime() *rapid.Generator[time.Time] {
	edges := rapid.SampledFrom([]float64{0, 3, 6, 9, -3, -6, 3600, 3603, -3600, -7200})
	near := rapid.Int64Range(-2, 2)
	return rapid.OneOf(
		rapid.Custom(func(t *rapid.T) time.Time {
			return after(edges.Draw(t, "edge")).Add(time.Duration(near.Draw(t, "near")))
		}),
		rapid.Custom(func(t *rapid.T) time.Time {
			return noon.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "near")))
		}),
		rapid.Custom(func(t *rapid.T) time.Time {
			return noon.Add(time.Duration(rapid.Int64Range(-int64(48*time.Hour), int64(48*time.Hour)).Draw(t, "far")))
		}),
	)
}

// anyRange is from 1 ns to 48 h long, or empty.
func anyRange(t *rapid.T) (from, to time.Time) {
	from = anyTime().Draw(t, "from")
	if rapid.Bool().Draw(t, "to an instant") {
		if to = anyTime().Draw(t, "to"); to.Before(from) {
			from, to = to, from
		}
		return from, to
	}
	length := rapid.SampledFrom([]time.Duration{0, 1, 2, 3 * time.Second, 15 * time.Second, time.Hour, 48 * time.Hour})
	return from, from.Add(length.Draw(t, "length"))
}

// checkAll fails unless Range, Has and Entries equal the list.
func (p *past) checkAll(t rapid.TB, tenant string, from, to time.Time) {
	t.Helper()
	p.check(t, tenant, from, to)
	want := p.want(tenant, from, to)
	entries, err := p.Entries(context.Background(), tenant, from, to)
	ascending := slices.IsSortedFunc(entries, func(a, b index.Entry) int { return int(a.Time - b.Time) })
	if err != nil || len(entries) != len(want) || !ascending {
		t.Fatalf("entries of %q from %v to %v: %v, %v, want %d in order", tenant, from, to, entries, err, len(want))
	}
	has, err := p.Has(context.Background(), tenant, from, to)
	if err != nil || has != (len(want) > 0) {
		t.Fatalf("has of %q from %v to %v: %v, %v, want %d entries", tenant, from, to, has, err, len(want))
	}
}

// TestRangeWhileWriting asks about several rows while they are written: every value that was stored before a question is in its answer once.
func TestRangeWhileWriting(t *testing.T) {
	t.Parallel()
	const writers, each = 4, 300
	p := newPast(t, nil, &bucket.QuantizerOptions[counts]{CacheBytes: 1 << 16, Now: func() time.Time { return after(2 * 3600) }})
	var writing, reading sync.WaitGroup
	var finished atomic.Bool
	for w := range writers {
		writing.Go(func() {
			for n := range each {
				p.add(t, "a", after(3600+float64(n*7%each)-150).Add(time.Duration(w)))
			}
		})
	}
	for r := range 4 {
		reading.Go(func() {
			for i := 0; !finished.Load() && !t.Failed(); i++ {
				from := after(3600 - 150 + float64((i+r)%30)/2)
				to := from.Add(time.Duration(1+i%200) * time.Second)
				p.checkAtLeast(t, "a", from, to)
			}
		})
	}
	writing.Wait()
	finished.Store(true)
	reading.Wait()
	p.check(t, "a", after(0), after(2*3600))
	p.checkUnchanged(t)
	if n := len(p.want("a", after(0), after(7200))); n != writers*each {
		t.Errorf("%d entries were written, want %d", n, writers*each)
	}
}

// checkAtLeast fails unless Range has all that the list had before, and
// nothing twice that the list does not have now.
func (p *past) checkAtLeast(t *testing.T, tenant string, from, to time.Time) {
	before := p.want(tenant, from, to)
	got, err := p.Range(t.Context(), tenant, from, to)
	if err != nil {
		t.Errorf("range while others write: %v", err)
		return
	}
	now := p.want(tenant, from, to)
	for id := range before {
		if got[id] != 1 {
			t.Errorf("value %d was there before the question and %d times in the answer", id, got[id])
		}
	}
	for id, n := range got {
		if n != now[id] {
			t.Errorf("value %d is %d times in the answer and %d times in the list", id, n, now[id])
		}
	}
}

// TestSparseRangeIsCheap would not end if empty quanta cost anything: there
// are 172 800 000 of them.
func TestSparseRangeIsCheap(t *testing.T) {
	t.Parallel()
	x := faulttest.NewIndex(index.NewMemIndex(), 1)
	p := newPast(t, x, &bucket.QuantizerOptions[counts]{Quantum: time.Millisecond})
	keys := []string{p.add(t, "a", after(0)), p.add(t, "a", after(20*3600)), p.add(t, "a", after(48*3600-1))}
	p.check(t, "a", after(0), after(48*3600))
	p.checkFetched(t, 1, keys...)
	if n := x.Calls(faulttest.Query); n != 48 {
		t.Errorf("%d rows were read, want 48", n)
	}
}

func TestHasStopsEarly(t *testing.T) {
	t.Parallel()
	x := faulttest.NewIndex(index.NewMemIndex(), 1)
	p := newPast(t, x, &bucket.QuantizerOptions[counts]{Rows: 2})
	p.add(t, "a", after(3*3600))
	if has, err := p.Has(t.Context(), "a", after(0), after(10_000*3600)); !has || err != nil {
		t.Fatalf("Has = %v, %v", has, err)
	}
	if n := x.Calls(faulttest.Query); n > 500 {
		t.Errorf("%d of 10 000 rows were read though the fourth has an entry", n)
	}
	p.checkFetched(t, 0)
}

func TestRangeRefuses(t *testing.T) {
	t.Parallel()
	p := newPast(t, nil, nil)
	first, last := time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)
	for name, c := range map[string]struct{ from, to time.Time }{
		"inverted":         {after(1), after(0)},
		"zero time":        {time.Time{}, after(0)},
		"both zero":        {time.Time{}, time.Time{}},
		"a second too far": {after(0), last.Add(time.Second)},
		"1 ns too far":     {after(0), last.Add(1)},
		"1 ns too early":   {first.Add(-1), after(0)},
	} {
		_, err := p.Range(t.Context(), "a", c.from, c.to)
		_, errHas := p.Has(t.Context(), "a", c.from, c.to)
		_, errEntries := p.Entries(t.Context(), "a", c.from, c.to)
		for _, err := range []error{err, errHas, errEntries} {
			if refused, ok := errors.AsType[*bucket.RangeError](err); !ok || !refused.From.Equal(c.from) || !refused.To.Equal(c.to) {
				t.Errorf("%s: got %v, want a RangeError", name, err)
			}
		}
	}
	for name, c := range map[string]struct{ from, to time.Time }{
		"empty": {after(1), after(1)}, "at the last instant": {last.Add(-3 * time.Hour), last}, "at the first": {first, first.Add(3 * time.Hour)},
	} {
		if got, err := p.Range(t.Context(), "a", c.from, c.to); got != nil || err != nil {
			t.Errorf("%s: %v, %v; want the zero value", name, got, err)
		}
	}
}

// TestNoDriverSeesABadTenant asks about ids that are none, such as a path to another directory. The index is
// not asked.
func TestNoDriverSeesABadTenant(t *testing.T) {
	t.Parallel()
	s := newStores(t)
	q, err := bucket.NewQuantizer(s.index, s.blobs, mergeIDs, nil)
	if err != nil {
		t.Fatal(err)
	}
	from, to := always()
	for _, tenant := range []string{"../../etc", "a/b", "a\x00b", strings.Repeat("x", 1<<20)} {
		ask := map[string]error{}
		_, ask["range"] = q.Range(t.Context(), tenant, from, to, nil)
		_, ask["range many"] = q.RangeMany(t.Context(), []string{"a", tenant}, from, to, nil)
		_, ask["has"] = q.Has(t.Context(), tenant, from, to)
		_, ask["entries"] = q.Entries(t.Context(), tenant, from, to)
		_, ask["spans"] = q.LevelSpans(t.Context(), tenant, from, to)
		for _, ask["steps"] = range q.Steps(t.Context(), tenant, from, to, time.Hour, nil) {
			break
		}
		for _, ask["values"] = range q.Values(t.Context(), tenant, from, to, nil) {
			break
		}
		for _, ask["blobs"] = range q.Blobs(t.Context(), tenant, from, to, nil) {
			break
		}
		for what, err := range ask {
			if _, ok := errors.AsType[*index.TenantError](err); !ok || len(err.Error()) > 200 {
				t.Errorf("%s of %.10q: got %.200v, want a short *TenantError", what, tenant, err)
			}
		}
	}
	if n := s.index.Calls(faulttest.Query); n > 0 {
		t.Errorf("the index was asked %d times", n)
	}
}

// TestRangeAtTheEndsOfTime reads quanta at the ends of time, which are cut short.
func TestRangeAtTheEndsOfTime(t *testing.T) {
	t.Parallel()
	p := newPast(t, nil, &bucket.QuantizerOptions[counts]{Grace: -1})
	first, last := time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)
	for _, at := range []time.Time{first, first.Add(1), first.Add(5 * time.Second), last.Add(-1), last.Add(-2), last.Add(-5 * time.Second)} {
		p.add(t, "a", at)
	}
	for range 2 {
		p.check(t, "a", first, first.Add(10*time.Second))
		p.check(t, "a", first.Add(1), first.Add(10*time.Second))
		p.check(t, "a", last.Add(-10*time.Second), last)
		p.check(t, "a", last.Add(-10*time.Second), last.Add(-1))
	}
}

func TestTooManyEntries(t *testing.T) {
	t.Parallel()
	p := newPast(t, nil, &bucket.QuantizerOptions[counts]{MaxEntries: 4})
	for i := range 5 {
		p.add(t, "a", after(float64(i)*1800)) // three rows
	}
	p.check(t, "a", after(0), after(4*1800))
	for _, c := range []struct{ from, to time.Time }{{after(0), after(3 * 3600)}, {after(-9 * 3600), after(99 * 3600)}} {
		_, err := p.Range(t.Context(), "a", c.from, c.to)
		if refused, ok := errors.AsType[*bucket.TooManyError](err); !ok || refused.Limit != 4 || !strings.Contains(err.Error(), "4 entries") {
			t.Errorf("range of 5 entries: got %v, want a TooManyError that says 4", err)
		}
	}
	if has, err := p.Has(t.Context(), "a", after(0), after(3*3600)); !has || err != nil {
		t.Errorf("Has of 5 entries: %v, %v", has, err)
	}
}

func TestQuantizerOptions(t *testing.T) {
	t.Parallel()
	x, blobs := index.NewMemIndex(), newShelf()
	type options = bucket.QuantizerOptions[counts]
	for name, opts := range map[string]*options{
		"short quantum": {Quantum: time.Millisecond - 1},
		"negative":      {Quantum: -time.Second},
		"rows":          {Rows: -1},
		"entries":       {MaxEntries: -1},
	} {
		if _, err := bucket.NewQuantizer(x, blobs, mergeCounts, opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := bucket.NewQuantizer[counts](x, blobs, nil, nil); err == nil {
		t.Error("no merge: no error")
	}
	if _, err := bucket.NewQuantizer[counts](nil, blobs, mergeCounts, nil); err == nil {
		t.Error("no index: no error")
	}
	for name, opts := range map[string]*options{"nil": nil, "zero": {}, "shortest quantum": {Quantum: time.Millisecond}} {
		if _, err := bucket.NewQuantizer(x, blobs, mergeCounts, opts); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMetricsAreShared lets two quantizers count in one registry.
func TestMetricsAreShared(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	for range 2 {
		p := newPast(t, nil, &bucket.QuantizerOptions[counts]{Registerer: registry, Namespace: "ns"})
		p.add(t, "a", after(0))
		p.add(t, "a", after(1))
		p.add(t, "a", after(2.5))
		p.add(t, "a", after(3))
		for range 3 {
			p.check(t, "a", after(0), after(4)) // a quantum of 3 and an edge of 1
		}
	}
	got := gather(t, registry)
	want := map[string]float64{
		"ns_quantum_cache_requests_total":   6,
		"ns_quantum_cache_hits_total":       4,
		"ns_quantum_merges_total":           4, // the quantum, and it with the edge
		"ns_range_entries":                  6,
		"ns_range_duration_seconds{index}":  6,
		"ns_range_duration_seconds{merge}":  6,
		"ns_range_entries sum":              24,
		"ns_range_duration_seconds sum > 0": 1,
		"ns_rollups_unreadable_total":       0,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("metrics\n got %v\nwant %v", got, want)
	}
}

func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			switch h := m.GetHistogram(); {
			case h == nil:
				got[name] = m.GetCounter().GetValue()
			case len(m.GetLabel()) == 0:
				got[name], got[name+" sum"] = float64(h.GetSampleCount()), h.GetSampleSum()
			default:
				got[name+"{"+m.GetLabel()[0].GetValue()+"}"] = float64(h.GetSampleCount())
				if h.GetSampleSum() > 0 {
					got[name+" sum > 0"] = 1
				}
			}
		}
	}
	return got
}

func TestMetricsOfAnotherKind(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "timeblob_quantum_cache_hits_total", Help: "Another's."}))
	_, err := bucket.NewQuantizer(index.NewMemIndex(), newShelf(), mergeCounts, &bucket.QuantizerOptions[counts]{Registerer: registry})
	if err == nil {
		t.Error("a metric's name is taken by another kind, and no error")
	}
}
