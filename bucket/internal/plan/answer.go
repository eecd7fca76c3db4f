package plan

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/internal/readthrough"
)

// Answer answers a question.
func (p *Past[T]) Answer(ctx context.Context, q Question[T]) (a Answer[T], err error) {
	defer p.metrics.took("merge", time.Now())
	ctx, merging := spans.Child(ctx, "merge")
	defer func() { merging.End(err) }()
	merging.Int(spanEntries, q.size())
	if err := p.allow(&q); err != nil {
		return a, err
	}
	m, err := p.answer(ctx, &q)
	for err == nil && p.goDown(ctx, &q, m.lost) {
		if err = p.allow(&q); err == nil {
			m, err = p.answer(ctx, &q)
		}
	}
	if err != nil {
		return a, err
	}
	return q.finish(m)
}

// allow refuses a question whose values would take too much memory, together or
// one of them alone.
func (p *Past[T]) allow(q *Question[T]) error {
	var bytes int64
	for _, s := range q.Series {
		if largest := p.largest(s.pieces()); largest > p.budget.limit {
			return &RangeTooLargeError{Tenant: s.Tenant, Bytes: largest, Limit: p.budget.limit, Option: "MaxDecodedBytes"}
		}
		if q.MaxBytes > 0 {
			bytes += p.expect(s.pieces())
		}
		if bytes > q.MaxBytes {
			return &RangeTooLargeError{Tenant: s.Tenant, Bytes: bytes, Limit: q.MaxBytes, Option: "MaxBytes"}
		}
	}
	return nil
}

// largest estimates the bytes of memory of the largest value of the pieces.
func (p *Past[T]) largest(all pieces) int64 {
	var size int64
	for i := range all.len() {
		size = max(size, all.size(i))
	}
	if size == 0 {
		return 0 // lengths are unknown
	}
	return p.values.Expect(size)
}

// answer merges the run of a question as a span where it can be one, and unit
// by unit otherwise.
func (p *Past[T]) answer(ctx context.Context, q *Question[T]) (m merged[T], err error) {
	r, ok := p.runOf(q)
	if !ok {
		return p.merge(ctx, q)
	}
	results := make([]blob.Result[merged[T]], 1)
	open := readthrough.Look(results, r)
	if len(open) > 0 && len(q.Extra) > 0 {
		return p.merge(ctx, q) // flat, in one merge
	}
	p.runs.Read(ctx, open, results, r)
	if err := results[0].Err; err != nil {
		return m, err // merge has named the tenant
	}
	if m = results[0].Value; len(q.Extra) == 0 {
		return m, nil
	}
	all, refused, err := p.sum(ctx, q, m, q.Series[0].pieces())
	if err == nil && refused { // merged flat: with more values it is clearer which one is bad
		return p.merge(ctx, q)
	}
	return all, err
}

// sum merges the extras with m, the merge of pieces of the question's one series. It
// reports whether the merge function refused some.
func (p *Past[T]) sum(ctx context.Context, q *Question[T], m merged[T], of pieces) (all merged[T], some bool, err error) {
	parts, unread := q.extras()
	extras := len(parts)
	if m.count > 0 {
		parts = append(parts, m.part(q.Series[0].Tenant, of))
	}
	v, refused, err := p.fold(ctx, parts)
	if err != nil {
		return m, false, fmt.Errorf("merge of tenant %q from %s to %s: %w", q.Series[0].Tenant, instant(q.From), instant(q.To), err)
	}
	m.value, m.count, m.lost = v, m.count+extras, slices.Concat(m.lost, unread) // others share m
	m.refuse(refused)
	return m, len(refused) > 0, nil
}

// run is the whole of a question as a span.
type run[T any] struct {
	*Past[T]
	question *Question[T]
	span     span
}

// runOf returns the run of a question of one tenant.
func (p *Past[T]) runOf(q *Question[T]) (*run[T], bool) {
	if len(q.Series) != 1 || p.cache == nil {
		return nil, false
	}
	all := q.Series[0].pieces()
	if all.len() < 2 {
		return nil, false
	}
	s := span{unit: unit{pieces: all, tenant: q.Series[0].Tenant, kind: row, keep: !q.once && all.last() < p.settled()}}
	if s.key.tenant = s.tenant; q.Series[0].print != nil {
		s.key.print = *q.Series[0].print
	} else {
		s.key.print, _ = fingerprintOf(all, nil)
	}
	return &run[T]{p, q, s}, true
}

// Key implements readthrough.Source.
func (r *run[T]) Key(int) spanKey { return r.span.key }

// Look implements readthrough.Source.
func (r *run[T]) Look(_ int, again bool) (result blob.Result[merged[T]], ok bool) {
	result.Value, result.Found = r.recall(&r.span)
	if result.Found && !again {
		r.looked(true)
	}
	return result, result.Found
}

// Fetch implements readthrough.Source.
func (r *run[T]) Fetch(ctx context.Context, _ []int, results []blob.Result[merged[T]]) {
	q := *r.question
	q.Extra = nil
	m, err := r.merge(ctx, &q)
	if err == nil && m.failed == nil {
		r.keep(&r.span, m)
	}
	results[0] = blob.Result[merged[T]]{Value: m, Found: err == nil, Err: err}
}
