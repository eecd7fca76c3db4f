package plan

import (
	"context"
	"fmt"
	"iter"

	"github.com/timeblob/timeblob/blob"
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
	pieces
	extra []Extra[T]
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
		cut := slicer[T]{pieces: q.Series[0].pieces(), extra: q.Extra, next: q.From, end: q.To, step: step}
		for group := cut.group(p); len(group) > 0; group = cut.group(p) {
			results, err := p.slices(ctx, &q, group)
			if err != nil {
				yield(Slice[T]{}, err)
				return
			}
			for i, s := range group {
				a, err := p.answerSlice(ctx, &q, s, results[i])
				if !yield(Slice[T]{s.from, s.to, a}, err) || err != nil {
					return
				}
			}
		}
	}
}

// slicer cuts a range into slices. No roll-up spans two of them.
type slicer[T any] struct {
	pieces               // from next on
	extra     []Extra[T] // likewise
	next, end int64
	step      int64
}

// one returns the next slice.
func (c *slicer[T]) one() slice[T] {
	s := slice[T]{from: c.next, to: c.end}
	if uint64(c.end)-uint64(c.next) > uint64(c.step) {
		s.to = c.next + c.step
	}
	m := 0
	for m < len(c.extra) && c.extra[m].Time < s.to {
		m++
	}
	s.pieces = c.between(s.from, s.to)
	s.extra, c.extra = c.extra[:m:m], c.extra[m:]
	c.next = s.to
	return s
}

// group returns the next slices that fit into one batch; at least one, unless
// there are none.
func (c *slicer[T]) group(p *Past[T]) (group []slice[T]) {
	blobs, bytes := 0, int64(0)
	for c.next < c.end && len(group) < maxSlices {
		before := *c
		s := c.one()
		blobs, bytes = blobs+s.len(), bytes+p.expect(s.pieces)
		if len(group) > 0 && (blobs > p.opts.Batch || bytes > p.budget.limit) {
			*c = before
			break
		}
		group = append(group, s)
	}
	return group
}

// slices merges the pieces of a group of slices, each for itself.
func (p *Past[T]) slices(ctx context.Context, q *Question[T], group []slice[T]) ([]merged[T], error) {
	all := make([]merged[T], len(group))
	if len(group) == 1 && p.fitting(group[0].pieces, p.opts.Batch) < group[0].len() {
		part := q.part(group[0].from, group[0].to, group[0].pieces)
		m, err := p.merge(ctx, &part)
		all[0] = m
		return all, err
	}
	b, of := p.spansOf(q.Series[0].Tenant, group)
	results := make([]blob.Result[merged[T]], len(b.spans))
	open := readthrough.Look(results, b)
	p.spansRead.Read(ctx, open, results, b)
	if err := firstError(ctx, b.err, results); err != nil {
		return nil, fmt.Errorf("read blobs of tenant %q: %w", q.Series[0].Tenant, err)
	}
	for n, i := range of {
		all[i] = results[n].Value
	}
	return all, nil
}

// part returns a part of the question about its one tenant, without its extra
// values.
func (q *Question[T]) part(from, to int64, p pieces) Question[T] {
	part := *q
	part.From, part.To, part.Extra = from, to, nil
	part.Series = []Series{{Tenant: q.Series[0].Tenant, Entries: p.entries, Rolled: p.rolled}}
	return part
}

// spansOf makes each slice with pieces a span, and returns which.
func (p *Past[T]) spansOf(tenant string, group []slice[T]) (b *batch[T], of []int) {
	b = &batch[T]{Past: p, fetched: true}
	settled := p.settled()
	var scratch []byte
	for i, s := range group {
		if s.len() == 0 {
			continue
		}
		var one span
		one, scratch = spanOf(unit{pieces: s.pieces, tenant: tenant, kind: row, keep: s.len() > 1 && s.to <= settled}, scratch)
		b.spans = append(b.spans, one)
		of = append(of, i)
	}
	return b, of
}

// answerSlice answers a slice. It replaces roll-ups that cannot be read by what lies
// below them.
func (p *Past[T]) answerSlice(ctx context.Context, q *Question[T], s slice[T], m merged[T]) (a Answer[T], err error) {
	part := q.part(s.from, s.to, s.pieces)
	for p.goDown(ctx, &part, m.lost) {
		if err = p.allow(&part); err == nil {
			m, err = p.merge(ctx, &part)
		}
		if err != nil {
			return a, err
		}
		s.pieces = part.Series[0].pieces()
	}
	return p.finishSlice(ctx, q, s, m)
}

// finishSlice merges a slice's entries with its extra values.
func (p *Past[T]) finishSlice(ctx context.Context, q *Question[T], s slice[T], m merged[T]) (Answer[T], error) {
	if len(s.extra) > 0 {
		own := Question[T]{Series: q.Series, From: s.from, To: s.to, Extra: s.extra}
		var err error
		if m, _, err = p.sum(ctx, &own, m, s.pieces); err != nil {
			return Answer[T]{}, err
		}
	}
	return q.finish(m)
}
