package report

import (
	"cmp"
	"math"
	"slices"
)

// mergeMetrics merges the metrics of at most fanIn copies of a node. At least one of
// them has some. Elements of copies may be nil.
func (m *merger) mergeMetrics(copies []*Node) ([]Metric, origins) {
	first, have := metricsAlike(copies)
	switch {
	case have == 0:
		return mergeField(&m.metrics, copies, func(n *Node) []Metric { return n.Metrics })
	case have&(have-1) == 0:
		return first, have
	}
	group := slices.Grow(m.metrics.group[:0], len(copies))[:len(copies)]
	clear(group)
	out, same := m.metrics.out[:0], have
	for i := range first {
		for c, n := range copies {
			if have&(1<<c) != 0 {
				group[c] = &n.Metrics[i]
			}
		}
		joined, ok := m.joinInTurn(group)
		if ok {
			same = 0
		} else {
			var equal origins
			joined, equal = m.joinMetrics(group)
			same &= equal
		}
		out = append(out, joined)
	}
	m.metrics.group, m.metrics.out = group, out
	if same != 0 {
		return copies[same.first()].Metrics, same
	}
	return m.metrics.made.clone(out), 0
}

// metricsAlike returns the metrics of the first copy that has some, and which copies
// have some; no copies if their keys are not the same. Consecutive reports of a probe
// have the same keys.
func metricsAlike(copies []*Node) (first []Metric, have origins) {
	for i, n := range copies {
		switch {
		case n == nil || len(n.Metrics) == 0:
			continue
		case have == 0:
			first = n.Metrics
		case !sameMetricKeys(first, n.Metrics):
			return nil, 0
		}
		have |= 1 << i
	}
	return first, have
}

func sameMetricKeys(a, b []Metric) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Key != b[i].Key {
			return false
		}
	}
	return true
}

// joinInTurn merges metrics of one name if the samples of each come after the samples of
// the one before, as in consecutive reports of a probe. It returns false if they do not,
// or if only one metric has samples.
func (m *merger) joinInTurn(group []*Metric) (r Metric, ok bool) {
	r.Min, r.Max = math.Inf(1), math.Inf(-1)
	var last *Sample
	lists, n := 0, 0
	for _, x := range group {
		if x == nil || len(x.Samples) == 0 {
			continue
		}
		if last != nil && last.Date.Compare(x.Samples[0].Date) >= 0 {
			return r, false
		}
		last = &x.Samples[len(x.Samples)-1]
		r.Key, r.Min, r.Max = x.Key, least(r.Min, x.Min), -least(-r.Max, -x.Max)
		lists, n = lists+1, n+len(x.Samples)
	}
	if lists < 2 {
		return r, false
	}
	r.Samples = m.samples.made.room(n)
	for _, x := range group {
		if x != nil {
			r.Samples = append(r.Samples, x.Samples...)
		}
	}
	return r, true
}

// least is math.Min, which is slower for equal numbers.
func least(a, b float64) float64 {
	if b > a || a == b && math.Float64bits(a) == math.Float64bits(b) {
		return a
	}
	return math.Min(a, b)
}

// joinMetrics merges metrics of one name.
func (m *merger) joinMetrics(group []*Metric) (Metric, origins) {
	in := present(group)
	samples, same := mergeField(&m.samples, group, func(m *Metric) []Sample { return m.Samples })
	r := Metric{Key: group[in.first()].Key, Samples: samples, Min: math.Inf(1), Max: math.Inf(-1)}
	for _, x := range group {
		if x != nil && (len(x.Samples) > 0 || len(samples) == 0) {
			r.Min, r.Max = math.Min(r.Min, x.Min), math.Max(r.Max, x.Max)
		}
	}
	if same &= in; same == 0 {
		return r, 0
	}
	for i, x := range group {
		if x != nil && (cmp.Compare(x.Min, r.Min) != 0 || cmp.Compare(x.Max, r.Max) != 0) {
			same &^= 1 << i
		}
	}
	return r, same
}
