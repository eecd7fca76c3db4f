package plan

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/internal/readthrough"
)

// merge merges the units of a question, and all of its pieces flat when the merge
// function refuses some: with more values it is clearer which one is bad.
func (p *Past[T]) merge(ctx context.Context, q *Question[T]) (m merged[T], err error) {
	units, flat := p.unitsOf(ctx, q)
	extras, unread := q.extras()
	m, err = p.units(ctx, units, extras)
	if err == nil && m.poison && len(flat) > 0 {
		m, err = p.units(ctx, flat, extras)
	}
	if err != nil {
		return m, fmt.Errorf("read blobs of tenant %q: %w", q.Series[0].Tenant, err)
	}
	m.count += len(extras)
	m.lost = slices.Concat(m.lost, unread)
	return m, nil
}

// unitsOf returns the units of a question, and the same pieces as loose units. It asks
// the index nothing about a question without pieces.
func (p *Past[T]) unitsOf(ctx context.Context, q *Question[T]) (units, flat []unit) {
	if q.size() == 0 {
		return nil, nil
	}
	c := p.cutter(ctx, "")
	c.once = q.once
	for i := range q.Series {
		s := &q.Series[i]
		c.tenant = s.Tenant
		c.all(s.pieces(), q.From, q.To)
		flat = append(flat, unit{pieces: s.pieces(), tenant: s.Tenant})
	}
	return c.units, flat
}

// cutter returns what cuts a tenant's pieces.
func (p *Past[T]) cutter(ctx context.Context, tenant string) *cutter {
	spans := levels.Default().Spans
	if s, err := p.settings(ctx); err == nil {
		spans = s.Spans
	}
	return &cutter{lengths: lengthsOf(p.opts.Quantum, spans), tenant: tenant, settled: p.settled(), keeps: p.cache != nil}
}

// units merges units and base. It counts the values of the units alone.
func (p *Past[T]) units(ctx context.Context, units []unit, base []part[T]) (all merged[T], err error) {
	var large, small []unit
	for _, u := range units {
		if p.isLarge(&u) {
			large = append(large, u)
			continue
		}
		small = p.fit(small, u)
	}
	done, err := p.nodes(ctx, large)
	if err != nil {
		return all, err
	}
	base = base[:len(base):len(base)]
	for i := range done {
		all.add(done[i])
		if done[i].count > 0 {
			base = append(base, done[i].part(large[i].tenant, large[i].pieces))
		}
	}
	return p.batches(ctx, small, base, all)
}

// isLarge reports whether a unit is merged part by part: a row of spans, or a
// span that is more than one batch.
func (p *Past[T]) isLarge(u *unit) bool {
	return u.kind == row || u.kind == whole && (u.len() > p.opts.Batch || p.expect(u.pieces) > p.budget.limit)
}

// fit appends a unit. It appends loose pieces in parts of at most a batch. The
// budget has room for each part.
func (p *Past[T]) fit(all []unit, u unit) []unit {
	if u.kind != loose {
		return append(all, u)
	}
	for n := p.fitting(u.pieces, p.opts.Batch); n < u.len(); n = p.fitting(u.pieces, p.opts.Batch) {
		part := u
		part.pieces, u.pieces = u.head(n)
		all = append(all, part)
	}
	return append(all, u)
}

// batches merges base and units batch by batch, so that it holds no more than one
// batch's values beside the merge of those before it. All is what is known of
// base's values already.
func (p *Past[T]) batches(ctx context.Context, units []unit, base []part[T], all merged[T]) (merged[T], error) {
	values := valuesIn(base)
	for {
		n := p.batchOf(units)
		m, err := p.batch(ctx, units[:n], base)
		if err != nil {
			return all, err
		}
		all.value = m.value
		all.add(m)
		if units = units[n:]; len(units) == 0 {
			return all, nil
		}
		base, values = nil, values+m.count
		if values > 0 {
			base = []part[T]{{value: all.value, values: values}}
		}
	}
}

// add counts another merge in, without its value.
func (m *merged[T]) add(other merged[T]) {
	m.count, m.blobs, m.lost = m.count+other.count, m.blobs+other.blobs, append(m.lost, other.lost...)
	m.poison = m.poison || other.poison
	if m.failed == nil {
		m.failed = other.failed
	}
}

// batchOf returns how many of the first units fit into one batch: 1 where the
// first alone does not, 0 when there are none.
func (p *Past[T]) batchOf(units []unit) int {
	n, most, bytes := 0, p.opts.Batch, p.budget.limit
	for i := range units {
		most, bytes = most-units[i].len(), bytes-p.expect(units[i].pieces)
		if (most < 0 || bytes < 0) && n > 0 {
			break
		}
		n++
	}
	return n
}

// batch merges base and some units.
func (p *Past[T]) batch(ctx context.Context, units []unit, base []part[T]) (m merged[T], err error) {
	b := &batch[T]{Past: p}
	var scratch []byte
	for _, u := range units {
		if u.kind == loose {
			b.loose = append(b.loose, u)
			continue
		}
		var s span
		s, scratch = spanOf(u, scratch)
		b.spans = append(b.spans, s)
	}
	return b.merge(ctx, base)
}

// merge merges base, the spans and the loose pieces.
func (b *batch[T]) merge(ctx context.Context, base []part[T]) (m merged[T], err error) {
	b.base = base[:len(base):len(base)]
	results := make([]blob.Result[merged[T]], len(b.spans))
	open := b.look(results, &m)
	b.open = len(open)
	b.spansRead.Read(ctx, open, results, b)
	if !b.fetched && len(b.loose) > 0 {
		b.Fetch(ctx, nil, nil)
	}
	if err := firstError(ctx, b.err, results); err != nil {
		return m, err
	}
	m.add(b.rest)
	parts := b.base
	for _, i := range open {
		if m.add(results[i].Value); !b.all {
			parts = b.appendPart(parts, i, &results[i].Value)
		}
	}
	v, refused, err := b.fold(ctx, parts)
	m.value = v
	m.refuse(refused)
	return m, err
}

// look adds the kept merges to base. It returns the spans that are to be merged;
// spans whose merge is not to be kept become loose.
func (b *batch[T]) look(results []blob.Result[merged[T]], m *merged[T]) (open []int) {
	for i := range b.spans {
		s := &b.spans[i]
		kept, ok := b.recall(s)
		b.looked(ok)
		switch {
		case ok:
			results[i] = blob.Result[merged[T]]{Value: kept, Found: true}
			b.base = append(b.base, kept.part(s.tenant, s.pieces))
			m.add(kept)
		case s.keep:
			open = append(open, i)
		default:
			b.loose = append(b.loose, s.unit)
		}
	}
	return open
}

// firstError returns the error that ended a batch: the context's, or what
// panicked in another question's fetch.
func firstError[T any](ctx context.Context, err error, results []blob.Result[merged[T]]) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for i := range results {
		if err == nil {
			err = results[i].Err
		}
	}
	return err
}

// node is a unit that is merged part by part.
type node[T any] struct {
	*Past[T]
	span span
}

var _ readthrough.Source[spanKey, merged[int]] = (*node[int])(nil)

// Key implements readthrough.Source.
func (n *node[T]) Key(int) spanKey { return n.span.key }

// Look implements readthrough.Source.
func (n *node[T]) Look(_ int, again bool) (r blob.Result[merged[T]], ok bool) {
	r.Value, r.Found = n.recall(&n.span)
	if !again {
		n.looked(r.Found)
	}
	return r, r.Found
}

// Fetch implements readthrough.Source.
func (n *node[T]) Fetch(ctx context.Context, _ []int, results []blob.Result[merged[T]]) {
	m, err := n.units(ctx, n.cutter(ctx, n.span.tenant).within(&n.span.unit), nil)
	if err == nil && m.failed == nil {
		n.keep(&n.span, m)
		n.offer(ctx, &n.span.unit)
	}
	results[0] = blob.Result[merged[T]]{Value: m, Found: err == nil, Err: err}
}

// maxNodes is how many large units of a question are merged at a time.
const maxNodes = 8

// nodes merges large units, each by itself.
func (p *Past[T]) nodes(ctx context.Context, large []unit) ([]merged[T], error) {
	results := make([]blob.Result[merged[T]], len(large))
	nodes := make([]node[T], len(large))
	group, merging := errgroup.WithContext(ctx)
	group.SetLimit(maxNodes)
	var scratch []byte
	for i, u := range large {
		nodes[i].Past = p
		nodes[i].span, scratch = spanOf(u, scratch)
		one := results[i : i+1]
		if open := readthrough.Look(one, &nodes[i]); len(open) > 0 {
			group.Go(func() error {
				nodes[i].read(merging, open, one)
				return one[0].Err
			})
		}
	}
	err := group.Wait()
	done := make([]merged[T], len(large))
	for i := range results {
		done[i] = results[i].Value
	}
	return done, err
}

// read merges a unit that is not kept yet, together with others who want it. A unit
// whose merge is not kept is merged for this question alone: it may have the same
// pieces as a unit around it, which would wait for itself.
func (n *node[T]) read(ctx context.Context, open []int, result []blob.Result[merged[T]]) {
	if !n.span.keep {
		n.Fetch(ctx, open, result)
		return
	}
	n.nodesRead.Read(ctx, open, result, n)
}
