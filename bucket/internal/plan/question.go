package plan

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/readthrough"
)

// Question asks for the merge of the entries of a range. All but Series may be
// left out.
type Question[T any] struct {
	Series   []Series   // at least one
	From, To int64      // Unix nanoseconds
	Extra    []Extra[T] // they are part of this answer only; ascending for Steps
	Partial  bool       // leave out what cannot be read, and say so
	MaxBytes int64      // of memory that the values may take; 0: no limit
}

// Extra is a value that is not in the index.
type Extra[T any] struct {
	Tenant string
	Time   int64  // Unix nanoseconds
	Key    string // its blob's to be; empty for an open tick
	Value  T
}

// Series is one tenant's entries of the range, ascending.
type Series struct {
	Tenant  string
	Entries []index.Entry
}

// Answer is the merge of a range.
type Answer[T any] struct {
	Value   T
	Count   int // values in it
	Missing []Missing
}

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
	if err != nil {
		return a, err
	}
	return q.finish(m)
}

// size is the number of entries.
func (q *Question[T]) size() (n int) {
	for i := range q.Series {
		n += len(q.Series[i].Entries)
	}
	return n
}

// allow refuses a question whose values would take too much memory, together or
// one of them alone.
func (p *Past[T]) allow(q *Question[T]) error {
	var bytes int64
	for _, s := range q.Series {
		if largest := p.largest(s.Entries); largest > p.budget.limit {
			return &RangeTooLargeError{Tenant: s.Tenant, Bytes: largest, Limit: p.budget.limit, Option: "MaxDecodedBytes"}
		}
		if q.MaxBytes > 0 {
			bytes += p.expect(s.Entries)
		}
		if bytes > q.MaxBytes {
			return &RangeTooLargeError{Tenant: s.Tenant, Bytes: bytes, Limit: q.MaxBytes, Option: "MaxBytes"}
		}
	}
	return nil
}

// largest estimates the bytes of memory of the largest value of entries.
func (p *Past[T]) largest(entries []index.Entry) int64 {
	var size int64
	for i := range entries {
		size = max(size, entries[i].Size)
	}
	if size == 0 {
		return 0 // lengths are unknown
	}
	return p.values.Expect(size)
}

// finish makes the answer, or the error, of what was merged.
func (q *Question[T]) finish(m merged[T]) (a Answer[T], err error) {
	if len(m.lost) > 0 && !q.Partial {
		return a, failure(m.lost, m.failed)
	}
	return Answer[T]{Value: m.value, Count: m.count, Missing: missing(m.lost)}, nil
}

// answer merges the run of a question as a span where it can be one, and goes
// batch by batch otherwise.
func (p *Past[T]) answer(ctx context.Context, q *Question[T]) (m merged[T], err error) {
	r, ok := p.runOf(q)
	if !ok {
		return p.batches(ctx, q)
	}
	results := make([]blob.Result[merged[T]], 1)
	open := readthrough.Look(results, r)
	if len(open) > 0 && len(q.Extra) > 0 {
		return p.batches(ctx, q) // flat, in one merge
	}
	p.runs.Read(ctx, open, results, r)
	if err := results[0].Err; err != nil {
		return m, fmt.Errorf("blobs of tenant %q: %w", q.Series[0].Tenant, err)
	}
	if m = results[0].Value; len(q.Extra) == 0 {
		return m, nil
	}
	all, err := p.sum(ctx, q, m, q.Series[0])
	if err == nil && len(all.lost) > len(m.lost) { // refused: merged flat, more tell which value is to blame
		return p.batches(ctx, q)
	}
	return all, err
}

// extras returns the values that are not in the index as parts.
func (q *Question[T]) extras() []part[T] {
	parts := make([]part[T], len(q.Extra), len(q.Extra)+1)
	for i, e := range q.Extra {
		parts[i] = part[T]{e.Value, e.Tenant, []index.Entry{{Time: e.Time, Key: e.Key}}, 1}
	}
	return parts
}

// sum merges the extras with m, the merge of a series.
func (p *Past[T]) sum(ctx context.Context, q *Question[T], m merged[T], of Series) (merged[T], error) {
	parts := q.extras()
	if m.count > 0 {
		parts = append(parts, m.part(of.Tenant, of.Entries))
	}
	v, refused, err := p.fold(ctx, parts)
	if err != nil {
		return m, fmt.Errorf("merge of tenant %q from %s to %s: %w", q.Series[0].Tenant, instant(q.From), instant(q.To), err)
	}
	m.value, m.count, m.lost = v, m.count+len(q.Extra), slices.Clone(m.lost) // others share m
	m.refuse(refused)
	return m, nil
}

// run is the whole of a question as a span.
type run[T any] struct {
	*Past[T]
	question *Question[T]
	span     span
}

// runOf returns the run of a question of one tenant that fits into one batch.
func (p *Past[T]) runOf(q *Question[T]) (*run[T], bool) {
	if len(q.Series) != 1 {
		return nil, false
	}
	s := q.Series[0]
	n := len(s.Entries)
	if n < 2 || n > p.opts.Batch || p.expect(s.Entries) > p.budget.limit {
		return nil, false
	}
	print, _ := fingerprintOf(s.Entries, nil)
	return &run[T]{p, q, span{key: spanKey{s.Tenant, print}, entries: s.Entries,
		keep: s.Entries[n-1].Time < p.settled()}}, true
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
	m, err := r.batches(ctx, &q)
	if err == nil && m.failed == nil {
		r.keep(&r.span, m)
	}
	results[0] = blob.Result[merged[T]]{Value: m, Found: err == nil, Err: err}
}

// batches merges a question batch by batch, so that it holds no more than one
// batch's values beside the merge of those before it.
func (p *Past[T]) batches(ctx context.Context, q *Question[T]) (all merged[T], err error) {
	segments := p.segments(q)
	base := q.extras()
	for {
		n := batchOf(segments, p.opts.Batch, p.budget.limit, p.expect)
		m, err := p.batch(ctx, segments[:n], base)
		if err != nil {
			return all, fmt.Errorf("blobs of tenant %q: %w", q.Series[0].Tenant, err)
		}
		all.value = m.value
		all.add(m)
		if segments = segments[n:]; len(segments) == 0 {
			all.count += len(q.Extra)
			return all, nil
		}
		base = nil
		if n := all.count + len(q.Extra); n > 0 {
			base = []part[T]{{value: all.value, values: n}}
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

// segments cuts the entries of all series.
func (p *Past[T]) segments(q *Question[T]) (all []segment) {
	for _, s := range q.Series {
		for _, cut := range split(s.Entries, q.From, q.To, int64(p.opts.Quantum)) {
			cut.tenant = s.Tenant
			all = p.fit(all, cut)
		}
	}
	return all
}

// fit appends a segment, in parts where the budget has no room for the whole.
func (p *Past[T]) fit(all []segment, s segment) []segment {
	for n := p.fitting(s.entries, len(s.entries)); n < len(s.entries); n = p.fitting(s.entries, len(s.entries)) {
		part := s
		part.whole, part.entries = false, s.entries[:n:n]
		all = append(all, part)
		s.whole, s.entries = false, s.entries[n:]
	}
	return append(all, s)
}

// batch merges base and some segments. It counts the values of the segments
// alone. When the merge function refuses values, batch merges all segments flat:
// of many values, more tell which one is to blame.
func (p *Past[T]) batch(ctx context.Context, segments []segment, base []part[T]) (m merged[T], err error) {
	b := p.arrange(segments, false)
	if m, err = b.merge(ctx, base); err != nil || !m.poison || len(b.spans) == 0 {
		return m, err
	}
	return p.arrange(segments, true).merge(ctx, base)
}

// merge merges base, the spans and the loose entries.
func (b *batch[T]) merge(ctx context.Context, base []part[T]) (m merged[T], err error) {
	results := make([]blob.Result[merged[T]], len(b.spans))
	open := readthrough.Look(results, b)
	was := make([]bool, len(results)) // cached
	for i := range results {
		if was[i] = results[i].Found; was[i] {
			base = append(base[:len(base):len(base)], results[i].Value.part(b.spans[i].key.tenant, b.spans[i].entries))
			m.add(results[i].Value)
		}
	}
	b.base = base
	b.quanta.Read(ctx, open, results, b)
	if !b.fetched && len(b.loose) > 0 {
		b.Fetch(ctx, nil, nil)
	}
	if err := firstError(ctx, b.err, results); err != nil {
		return m, err
	}
	m.add(b.rest)
	parts := b.base
	for i := range results {
		if !was[i] {
			m.add(results[i].Value)
			if results[i].Value.count > 0 {
				parts = append(parts, results[i].Value.part(b.spans[i].key.tenant, b.spans[i].entries))
			}
		}
	}
	v, refused, err := b.fold(ctx, parts)
	m.value = v
	m.refuse(refused)
	return m, err
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

// arrange makes whole quanta of at least two entries spans, and leaves the other
// entries loose; all entries when flat is set.
func (p *Past[T]) arrange(segments []segment, flat bool) *batch[T] {
	b := &batch[T]{Past: p}
	settled := p.settled()
	var scratch []byte
	for _, s := range segments {
		if flat || !s.whole || len(s.entries) < 2 || s.to > settled || p.cache == nil {
			b.loose = append(b.loose, loose{s.tenant, s.entries})
			continue
		}
		key := spanKey{tenant: s.tenant}
		key.print, scratch = fingerprintOf(s.entries, scratch)
		b.spans = append(b.spans, span{key, s.entries, true})
	}
	return b
}
