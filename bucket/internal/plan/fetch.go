package plan

import (
	"context"
	"slices"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/internal/readthrough"
)

// batch is a part of a question that is fetched with one call of Blobs.Get: the
// spans that are to be merged by themselves, and loose pieces, which are merged
// flat with what is there already.
type batch[T any] struct {
	*Past[T]
	spans []span
	loose []unit

	// base is what is there already. It becomes the merge of itself and of the
	// loose pieces when these are fetched.
	base    []part[T]
	open    int       // spans that are not merged yet
	fetched bool      // the loose pieces
	all     bool      // base has the spans, too
	rest    merged[T] // the loose pieces that were fetched: lost, failed, and counts
	err     error     // of the context, when it ended before they were
}

var _ readthrough.Source[spanKey, merged[int]] = (*batch[int])(nil)

// Key implements readthrough.Source.
func (b *batch[T]) Key(i int) spanKey { return b.spans[i].key }

// Look implements readthrough.Source.
func (b *batch[T]) Look(i int, again bool) (r blob.Result[merged[T]], ok bool) {
	s := &b.spans[i]
	if !s.keep || b.cache == nil {
		return r, false
	}
	r.Value, r.Found = b.recall(s)
	if !again {
		b.looked(r.Found)
	}
	return r, r.Found
}

// Fetch implements readthrough.Source: it reads the blobs of the open spans, and
// of the loose pieces unless it did before, merges each span, keeps the merges
// when there was no error at all, and merges the loose pieces.
func (b *batch[T]) Fetch(ctx context.Context, open []int, results []blob.Result[merged[T]]) {
	refs := b.wanted(open)
	charged, err := b.budget.charge(ctx, b.expectRefs(refs), b.tenants(open))
	if err != nil {
		b.fail(open, results, err)
		return
	}
	defer charged.End()
	values, failed := b.get(ctx, refs, len(open)+len(b.loose))
	if err := ctx.Err(); err != nil {
		b.fail(open, results, err)
		return
	}
	starts := b.starts(open)
	forEach(len(open), func(n int) {
		s := &b.spans[open[n]]
		results[open[n]] = b.assemble(ctx, s, values[starts[n]:][:s.len()], failed, len(open) == 1)
	})
	if failed == nil && unharmed(open, results) {
		for _, i := range open {
			b.keep(&b.spans[i], results[i].Value)
			b.offer(ctx, &b.spans[i].unit)
		}
	}
	if !b.fetched {
		b.fetched = true
		b.include(open, results)
		b.err = b.mergeLoose(ctx, values[starts[len(open)]:], failed)
	}
}

// offer reports a span whose merge may be stored as its roll-up.
func (p *Past[T]) offer(ctx context.Context, u *unit) {
	if p.opts.Offer == nil || u.kind != whole {
		return
	}
	s, err := p.settings(ctx)
	if err != nil || p.opts.Now().UnixNano() < u.last()+int64(s.Lateness) {
		return
	}
	for _, length := range s.Spans {
		if int64(length) == u.size {
			p.opts.Offer(levels.SpanAt(u.tenant, length, u.first()))
		}
	}
}

// tenants returns the tenants whose blobs are fetched, each once.
func (b *batch[T]) tenants(open []int) (tenants []string) {
	add := func(u *unit) {
		if n := len(tenants); n == 0 || tenants[n-1] != u.tenant {
			tenants = append(tenants, u.tenant)
		}
	}
	for _, i := range open {
		add(&b.spans[i].unit)
	}
	for i := range b.loose {
		add(&b.loose[i])
	}
	slices.Sort(tenants)
	return slices.Compact(tenants)
}

// include adds the spans to base when all are merged now, so that one call of the merge
// function merges everything.
func (b *batch[T]) include(open []int, results []blob.Result[merged[T]]) {
	if len(open) < b.open {
		return // other questions merge some
	}
	b.all = true
	for _, i := range open {
		b.base = b.appendPart(b.base, i, &results[i].Value)
	}
}

// appendPart appends the merge of a span.
func (b *batch[T]) appendPart(parts []part[T], i int, m *merged[T]) []part[T] {
	if m.count == 0 {
		return parts
	}
	return append(parts, m.part(b.spans[i].tenant, b.spans[i].pieces))
}

// fail gives the open spans an error of the context.
func (b *batch[T]) fail(open []int, results []blob.Result[merged[T]], err error) {
	for _, i := range open {
		results[i] = blob.Result[merged[T]]{Err: err}
	}
	b.err = err
}

// wanted returns the blobs to fetch: first the blobs of the open spans in turn,
// then the loose ones.
func (b *batch[T]) wanted(open []int) (refs []blob.Ref) {
	for _, i := range open {
		refs = b.spans[i].appendRefs(refs)
	}
	if !b.fetched {
		for i := range b.loose {
			refs = b.loose[i].appendRefs(refs)
		}
	}
	return refs
}

// starts returns where the blobs of each open span begin among wanted, and at
// last where the loose ones do.
func (b *batch[T]) starts(open []int) []int {
	starts, n := make([]int, len(open)+1), 0
	for k, i := range open {
		starts[k] = n
		n += b.spans[i].len()
	}
	starts[len(open)] = n
	return starts
}

// unharmed reports whether the open spans were merged without any loss.
func unharmed[T any](open []int, results []blob.Result[merged[T]]) bool {
	for _, i := range open {
		if results[i].Err != nil || len(results[i].Value.lost) > 0 {
			return false
		}
	}
	return true
}

// assemble merges the values of a span. Alone says that nothing else is merged
// meanwhile.
func (b *batch[T]) assemble(ctx context.Context, s *span, values []blob.Result[T], failed error, alone bool) blob.Result[merged[T]] {
	m := merged[T]{failed: failed}
	parts := m.collect(make([]part[T], 0, len(values)), &s.unit, values)
	large := m.blobs
	if !alone {
		large = 0
	}
	v, refused, err := b.foldHalves(ctx, parts, large)
	if err != nil {
		return blob.Result[merged[T]]{Err: err}
	}
	m.value = v
	m.refuse(refused)
	return blob.Result[merged[T]]{Value: m, Found: true}
}

// collect appends the values that were found to parts, and notes the others.
func (m *merged[T]) collect(parts []part[T], u *unit, values []blob.Result[T]) []part[T] {
	for i, r := range values {
		one, n := u.piece(i)
		if r.Found {
			parts = append(parts, part[T]{r.Value, u.tenant, one, n})
			m.count += n
			m.blobs += r.Size
			continue
		}
		if r.Err == nil {
			r.Err = ErrNoBlob
		}
		m.lost = append(m.lost, lostOf(u.tenant, one, r.Err)...)
	}
	return parts
}

// refuse takes values out of the merge that the merge function refused.
func (m *merged[T]) refuse(refused []lost) {
	m.lost, m.count, m.poison = append(m.lost, refused...), m.count-valuesLost(refused), m.poison || len(refused) > 0
}

// mergeLoose merges the values of the loose pieces and what is there already,
// in one call.
func (b *batch[T]) mergeLoose(ctx context.Context, values []blob.Result[T], failed error) error {
	if len(b.loose) == 0 && !b.all {
		return nil
	}
	b.rest.failed = failed
	parts := append(make([]part[T], 0, len(b.base)+len(values)), b.base...)
	for i := range b.loose {
		n := b.loose[i].len()
		parts = b.rest.collect(parts, &b.loose[i], values[:n])
		values = values[n:]
	}
	v, refused, err := b.foldHalves(ctx, parts, b.rest.blobs)
	if err != nil {
		return err
	}
	b.rest.refuse(refused)
	b.base = nil
	if len(parts) > 0 {
		b.base = []part[T]{{value: v, values: valuesIn(parts) - valuesLost(refused)}}
	}
	return nil
}
