package plan

import (
	"context"
	"fmt"
	"iter"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/readthrough"
)

// Slice is the answer for [From, To), which is one step of a range.
type Slice[T any] struct {
	From, To int64
	Answer[T]
}

// slice is a Slice that is not answered yet.
type slice[T any] struct {
	from, to int64
	entries  []index.Entry
	extra    []Extra[T]
}

// maxSlices is how many slices are answered at a time at most.
const maxSlices = 256

// Steps answers the consecutive steps of a question of one tenant, and the last step may be shorter. It reads the blobs of several steps at a time, as many
// as fit into a batch, and merges each entry once. The question's extra values
// must ascend.
func (p *Past[T]) Steps(ctx context.Context, q Question[T], step int64) iter.Seq2[Slice[T], error] {
	return func(yield func(Slice[T], error) bool) {
		if err := p.allow(&q); err != nil {
			yield(Slice[T]{}, err)
			return
		}
		cut := cutter[T]{entries: q.Series[0].Entries, extra: q.Extra, next: q.From, end: q.To, step: step}
		for group := cut.group(p); len(group) > 0; group = cut.group(p) {
			results, err := p.slices(ctx, &q, group)
			if err != nil {
				yield(Slice[T]{}, err)
				return
			}
			for i, s := range group {
				a, err := p.finishSlice(ctx, &q, s, results[i])
				if !yield(Slice[T]{s.from, s.to, a}, err) || err != nil {
					return
				}
			}
		}
	}
}

// cutter cuts a range into slices.
type cutter[T any] struct {
	entries   []index.Entry // from next on
	extra     []Extra[T]    // likewise
	next, end int64
	step      int64
}

// one returns the next slice.
func (c *cutter[T]) one() slice[T] {
	s := slice[T]{from: c.next, to: c.end}
	if uint64(c.end)-uint64(c.next) > uint64(c.step) {
		s.to = c.next + c.step
	}
	n := 0
	for n < len(c.entries) && c.entries[n].Time < s.to {
		n++
	}
	m := 0
	for m < len(c.extra) && c.extra[m].Time < s.to {
		m++
	}
	s.entries, c.entries = c.entries[:n:n], c.entries[n:]
	s.extra, c.extra = c.extra[:m:m], c.extra[m:]
	c.next = s.to
	return s
}

// group returns the next slices that fit into one batch; at least one, unless
// there are none.
func (c *cutter[T]) group(p *Past[T]) (group []slice[T]) {
	entries, bytes := 0, int64(0)
	for c.next < c.end && len(group) < maxSlices {
		before := *c
		s := c.one()
		entries, bytes = entries+len(s.entries), bytes+p.expect(s.entries)
		if len(group) > 0 && (entries > p.opts.Batch || bytes > p.budget.limit) {
			*c = before
			break
		}
		group = append(group, s)
	}
	return group
}

// slices merges the entries of a group of slices, each for itself.
func (p *Past[T]) slices(ctx context.Context, q *Question[T], group []slice[T]) ([]merged[T], error) {
	all := make([]merged[T], len(group))
	if len(group) == 1 && p.fitting(group[0].entries, p.opts.Batch) < len(group[0].entries) {
		part := *q
		part.From, part.To, part.Extra = group[0].from, group[0].to, nil
		part.Series = []Series{{q.Series[0].Tenant, group[0].entries}}
		m, err := p.batches(ctx, &part)
		all[0] = m
		return all, err
	}
	b, of := p.spansOf(q.Series[0].Tenant, group)
	results := make([]blob.Result[merged[T]], len(b.spans))
	open := readthrough.Look(results, b)
	p.quanta.Read(ctx, open, results, b)
	if err := firstError(ctx, b.err, results); err != nil {
		return nil, fmt.Errorf("blobs of tenant %q: %w", q.Series[0].Tenant, err)
	}
	for n, i := range of {
		all[i] = results[n].Value
	}
	return all, nil
}

// spansOf makes each slice with entries a span, and returns which.
func (p *Past[T]) spansOf(tenant string, group []slice[T]) (b *batch[T], of []int) {
	b = &batch[T]{Past: p, fetched: true}
	settled := p.settled()
	var scratch []byte
	for i, s := range group {
		if len(s.entries) == 0 {
			continue
		}
		key := spanKey{tenant: tenant}
		key.print, scratch = fingerprintOf(s.entries, scratch)
		b.spans = append(b.spans, span{key, s.entries, len(s.entries) > 1 && s.to <= settled})
		of = append(of, i)
	}
	return b, of
}

// finishSlice merges a slice's entries with its extra values.
func (p *Past[T]) finishSlice(ctx context.Context, q *Question[T], s slice[T], m merged[T]) (Answer[T], error) {
	if len(s.extra) > 0 {
		own := Question[T]{Series: q.Series, From: s.from, To: s.to, Extra: s.extra}
		var err error
		if m, err = p.sum(ctx, &own, m, Series{q.Series[0].Tenant, s.entries}); err != nil {
			return Answer[T]{}, err
		}
	}
	return q.finish(m)
}
