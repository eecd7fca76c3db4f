package plan

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/readthrough"
)

// loose are entries of a tenant that are in no span.
type loose struct {
	tenant  string
	entries []index.Entry
}

// batch is a part of a question that is fetched with one call of Blobs.Get: the
// spans that are to be merged by themselves, and loose entries, which are merged
// flat with what is there already.
type batch[T any] struct {
	*Past[T]
	spans []span
	loose []loose

	// base is what is there already. It becomes the merge of itself and of the
	// loose entries when these are fetched.
	base    []part[T]
	fetched bool      // the loose entries
	rest    merged[T] // the loose entries that were fetched: lost, failed, and counts
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
// of the loose entries unless it did before, merges each span, keeps the merges
// when there was no error at all, and merges the loose entries.
func (b *batch[T]) Fetch(ctx context.Context, open []int, results []blob.Result[merged[T]]) {
	entries := b.wanted(open)
	release, err := b.budget.charge(ctx, b.expect(entries))
	if err != nil {
		b.fail(open, results, err)
		return
	}
	defer release()
	values, failed := b.get(ctx, refsOf(entries), len(open)+len(b.loose))
	if err := ctx.Err(); err != nil {
		b.fail(open, results, err)
		return
	}
	starts := b.starts(open)
	forEach(len(open), func(n int) {
		s := &b.spans[open[n]]
		results[open[n]] = b.assemble(ctx, s, values[starts[n]:][:len(s.entries)], failed)
	})
	if failed == nil && whole(open, results) {
		for _, i := range open {
			b.keep(&b.spans[i], results[i].Value)
		}
	}
	if !b.fetched {
		b.fetched = true
		b.err = b.mergeLoose(ctx, values[starts[len(open)]:], failed)
	}
}

// fail gives the open spans an error of the context.
func (b *batch[T]) fail(open []int, results []blob.Result[merged[T]], err error) {
	for _, i := range open {
		results[i] = blob.Result[merged[T]]{Err: err}
	}
	b.err = err
}

// wanted returns the entries to fetch: first the entries of the open spans in turn, then the loose entries.
func (b *batch[T]) wanted(open []int) (entries []index.Entry) {
	for _, i := range open {
		entries = append(entries, b.spans[i].entries...)
	}
	if !b.fetched {
		for _, l := range b.loose {
			entries = append(entries, l.entries...)
		}
	}
	return entries
}

// starts returns where the entries of each open span begin among wanted, and at
// last where the loose ones do.
func (b *batch[T]) starts(open []int) []int {
	starts, n := make([]int, len(open)+1), 0
	for k, i := range open {
		starts[k] = n
		n += len(b.spans[i].entries)
	}
	starts[len(open)] = n
	return starts
}

func refsOf(entries []index.Entry) []blob.Ref {
	refs := make([]blob.Ref, len(entries))
	for i, e := range entries {
		refs[i] = e.Ref()
	}
	return refs
}

// whole reports whether the open spans were merged without any loss.
func whole[T any](open []int, results []blob.Result[merged[T]]) bool {
	for _, i := range open {
		if results[i].Err != nil || len(results[i].Value.lost) > 0 {
			return false
		}
	}
	return true
}

// assemble merges the values of a span.
func (b *batch[T]) assemble(ctx context.Context, s *span, values []blob.Result[T], failed error) blob.Result[merged[T]] {
	m := merged[T]{failed: failed}
	parts := m.collect(make([]part[T], 0, len(values)), s.key.tenant, s.entries, values)
	v, refused, err := b.fold(ctx, parts)
	if err != nil {
		return blob.Result[merged[T]]{Err: err}
	}
	m.value = v
	m.refuse(refused)
	return blob.Result[merged[T]]{Value: m, Found: true}
}

// collect appends the values that were found to parts, and notes the others.
func (m *merged[T]) collect(parts []part[T], tenant string, entries []index.Entry, values []blob.Result[T]) []part[T] {
	for i, r := range values {
		switch {
		case r.Found:
			parts = append(parts, part[T]{r.Value, tenant, entries[i : i+1], 1})
			m.count++
			m.blobs += r.Size
		case r.Err != nil:
			m.lost = append(m.lost, lost{tenant, entries[i], r.Err})
		default:
			m.lost = append(m.lost, lost{tenant, entries[i], ErrNoBlob})
		}
	}
	return parts
}

// refuse takes values out of the merge that the merge function refused.
func (m *merged[T]) refuse(refused []lost) {
	m.lost, m.count, m.poison = append(m.lost, refused...), m.count-len(refused), m.poison || len(refused) > 0
}

// mergeLoose merges the values of the loose entries and what is there already,
// in one call.
func (b *batch[T]) mergeLoose(ctx context.Context, values []blob.Result[T], failed error) error {
	b.rest.failed = failed
	parts := append(make([]part[T], 0, len(b.base)+len(values)), b.base...)
	for _, l := range b.loose {
		n := len(l.entries)
		parts = b.rest.collect(parts, l.tenant, l.entries, values[:n])
		values = values[n:]
	}
	v, refused, err := b.fold(ctx, parts)
	if err != nil {
		return err
	}
	b.rest.refuse(refused)
	b.base = nil
	if len(parts) > 0 {
		b.base = []part[T]{{value: v, values: valuesIn(parts) - len(refused)}}
	}
	return nil
}

// forEach calls f with 0 to n-1, on as many goroutines as there are processors,
// and returns when all calls have.
func forEach(n int, f func(i int)) {
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			f(i)
		}
	}
	var group sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) - 1 {
		group.Go(work)
	}
	work()
	group.Wait()
}
